/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The words of the policy language: actions, condition keys, condition operators. Each is one row
 * of an X-macro table; enums, names, lookups and tests all come from it.
 *
 * Sources: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3";
 * IAM User Guide, "AWS global condition context keys" and "IAM JSON policy elements: Condition
 * operators". admin:, kms: and the rows marked so are MinIO's, whose policies are taken unchanged.
 *
 * Invariant (tested): the actions are in bytewise order of their full names.
 */

#include "base/str.h"

/* What an action is done to. */
enum iam_resource_kind {
    IAM_ON_NOTHING, /* Resource is not looked at */
    IAM_ON_ACCOUNT, /* S3 without a bucket */
    IAM_ON_BUCKET,
    IAM_ON_OBJECT,
    IAM_ON_ARN, /* what else has a name: users, roles, keys */
};

/* X(service, name, kind) */
#define IAM_ACTIONS(X)                                                           \
    X(admin, AddUserToGroup, NOTHING)                                            \
    X(admin, AttachUserOrGroupPolicy, NOTHING)                                   \
    X(admin, BandwidthMonitor, NOTHING)                                          \
    X(admin, ConfigUpdate, NOTHING)                                              \
    X(admin, ConsoleLog, NOTHING)                                                \
    X(admin, CreatePolicy, NOTHING)                                              \
    X(admin, CreateServiceAccount, NOTHING)                                      \
    X(admin, CreateUser, NOTHING)                                                \
    X(admin, DataUsageInfo, NOTHING)                                             \
    X(admin, DeletePolicy, NOTHING)                                              \
    X(admin, DeleteUser, NOTHING)                                                \
    X(admin, DisableUser, NOTHING)                                               \
    X(admin, EnableUser, NOTHING)                                                \
    X(admin, ExportIAM, NOTHING)                                                 \
    X(admin, GetBucketQuota, NOTHING)                                            \
    X(admin, GetGroup, NOTHING)                                                  \
    X(admin, GetPolicy, NOTHING)                                                 \
    X(admin, GetUser, NOTHING)                                                   \
    X(admin, Heal, NOTHING)                                                      \
    X(admin, ImportIAM, NOTHING)                                                 \
    X(admin, ListGroups, NOTHING)                                                \
    X(admin, ListServiceAccounts, NOTHING)                                       \
    X(admin, ListUserPolicies, NOTHING)                                          \
    X(admin, ListUsers, NOTHING)                                                 \
    X(admin, OBDInfo, NOTHING)                                                   \
    X(admin, Profiling, NOTHING)                                                 \
    X(admin, Prometheus, NOTHING)                                                \
    X(admin, RemoveServiceAccount, NOTHING)                                      \
    X(admin, RemoveUserFromGroup, NOTHING)                                       \
    X(admin, ServerInfo, NOTHING)                                                \
    X(admin, ServerTrace, NOTHING)                                               \
    X(admin, SetBucketQuota, NOTHING)                                            \
    X(admin, StorageInfo, NOTHING)                                               \
    X(admin, TopLocksInfo, NOTHING)                                              \
    X(admin, UpdateServiceAccount, NOTHING)                                      \
    X(iam, AddClientIDToOpenIDConnectProvider, ARN)                              \
    X(iam, AddUserToGroup, ARN)                                                  \
    X(iam, AttachGroupPolicy, ARN)                                               \
    X(iam, AttachRolePolicy, ARN)                                                \
    X(iam, AttachUserPolicy, ARN)                                                \
    X(iam, CreateAccessKey, ARN)                                                 \
    X(iam, CreateGroup, ARN)                                                     \
    X(iam, CreateOpenIDConnectProvider, ARN)                                     \
    X(iam, CreatePolicy, ARN)                                                    \
    X(iam, CreatePolicyVersion, ARN)                                             \
    X(iam, CreateRole, ARN)                                                      \
    X(iam, CreateUser, ARN)                                                      \
    X(iam, DeleteAccessKey, ARN)                                                 \
    X(iam, DeleteGroup, ARN)                                                     \
    X(iam, DeleteGroupPolicy, ARN)                                               \
    X(iam, DeleteOpenIDConnectProvider, ARN)                                     \
    X(iam, DeletePolicy, ARN)                                                    \
    X(iam, DeletePolicyVersion, ARN)                                             \
    X(iam, DeleteRole, ARN)                                                      \
    X(iam, DeleteRolePermissionsBoundary, ARN)                                   \
    X(iam, DeleteRolePolicy, ARN)                                                \
    X(iam, DeleteUser, ARN)                                                      \
    X(iam, DeleteUserPermissionsBoundary, ARN)                                   \
    X(iam, DeleteUserPolicy, ARN)                                                \
    X(iam, DetachGroupPolicy, ARN)                                               \
    X(iam, DetachRolePolicy, ARN)                                                \
    X(iam, DetachUserPolicy, ARN)                                                \
    X(iam, GetAccessKeyLastUsed, ARN)                                            \
    X(iam, GetAccountSummary, ARN)                                               \
    X(iam, GetGroup, ARN)                                                        \
    X(iam, GetGroupPolicy, ARN)                                                  \
    X(iam, GetOpenIDConnectProvider, ARN)                                        \
    X(iam, GetPolicy, ARN)                                                       \
    X(iam, GetPolicyVersion, ARN)                                                \
    X(iam, GetRole, ARN)                                                         \
    X(iam, GetRolePolicy, ARN)                                                   \
    X(iam, GetUser, ARN)                                                         \
    X(iam, GetUserPolicy, ARN)                                                   \
    X(iam, ListAccessKeys, ARN)                                                  \
    X(iam, ListAttachedGroupPolicies, ARN)                                       \
    X(iam, ListAttachedRolePolicies, ARN)                                        \
    X(iam, ListAttachedUserPolicies, ARN)                                        \
    X(iam, ListEntitiesForPolicy, ARN)                                           \
    X(iam, ListGroupPolicies, ARN)                                               \
    X(iam, ListGroups, ARN)                                                      \
    X(iam, ListGroupsForUser, ARN)                                               \
    X(iam, ListInstanceProfilesForRole, ARN)                                     \
    X(iam, ListOpenIDConnectProviders, ARN)                                      \
    X(iam, ListPolicies, ARN)                                                    \
    X(iam, ListPolicyVersions, ARN)                                              \
    X(iam, ListRolePolicies, ARN)                                                \
    X(iam, ListRoleTags, ARN)                                                    \
    X(iam, ListRoles, ARN)                                                       \
    X(iam, ListUserPolicies, ARN)                                                \
    X(iam, ListUserTags, ARN)                                                    \
    X(iam, ListUsers, ARN)                                                       \
    X(iam, PassRole, ARN)                                                        \
    X(iam, PutGroupPolicy, ARN)                                                  \
    X(iam, PutRolePermissionsBoundary, ARN)                                      \
    X(iam, PutRolePolicy, ARN)                                                   \
    X(iam, PutUserPermissionsBoundary, ARN)                                      \
    X(iam, PutUserPolicy, ARN)                                                   \
    X(iam, RemoveClientIDFromOpenIDConnectProvider, ARN)                         \
    X(iam, RemoveUserFromGroup, ARN)                                             \
    X(iam, SetDefaultPolicyVersion, ARN)                                         \
    X(iam, TagRole, ARN)                                                         \
    X(iam, TagUser, ARN)                                                         \
    X(iam, UntagRole, ARN)                                                       \
    X(iam, UntagUser, ARN)                                                       \
    X(iam, UpdateAccessKey, ARN)                                                 \
    X(iam, UpdateAssumeRolePolicy, ARN)                                          \
    X(iam, UpdateGroup, ARN)                                                     \
    X(iam, UpdateOpenIDConnectProviderThumbprint, ARN)                           \
    X(iam, UpdateRole, ARN)                                                      \
    X(iam, UpdateRoleDescription, ARN)                                           \
    X(iam, UpdateUser, ARN)                                                      \
    X(kms, CreateKey, ARN)                                                       \
    X(kms, Decrypt, ARN)                                                         \
    X(kms, DeleteKey, ARN)                                                       \
    X(kms, Encrypt, ARN)                                                         \
    X(kms, GenerateDataKey, ARN)                                                 \
    X(kms, ListKeys, ARN)                                                        \
    X(kms, Status, ARN)                                                          \
    X(s3, AbortMultipartUpload, OBJECT)                                          \
    X(s3, BypassGovernanceRetention, OBJECT)                                     \
    X(s3, CreateBucket, BUCKET)                                                  \
    X(s3, CreateBucketMetadataTableConfiguration, BUCKET)                        \
    X(s3, CreateSession, BUCKET)                                                 \
    X(s3, DeleteBucket, BUCKET)                                                  \
    X(s3, DeleteBucketMetadataTableConfiguration, BUCKET)                        \
    X(s3, DeleteBucketPolicy, BUCKET)                                            \
    X(s3, DeleteBucketWebsite, BUCKET)                                           \
    X(s3, DeleteObject, OBJECT)                                                  \
    X(s3, DeleteObjectAnnotation, OBJECT)                                        \
    X(s3, DeleteObjectTagging, OBJECT)                                           \
    X(s3, DeleteObjectVersion, OBJECT)                                           \
    X(s3, DeleteObjectVersionTagging, OBJECT)                                    \
    X(s3, ForceDeleteBucket, BUCKET) /* MinIO */                                 \
    X(s3, GetAccelerateConfiguration, BUCKET)                                    \
    X(s3, GetAccountPublicAccessBlock, ACCOUNT)                                  \
    X(s3, GetAnalyticsConfiguration, BUCKET)                                     \
    X(s3, GetBucketAbac, BUCKET)                                                 \
    X(s3, GetBucketAcl, BUCKET)                                                  \
    X(s3, GetBucketCORS, BUCKET)                                                 \
    X(s3, GetBucketLocation, BUCKET)                                             \
    X(s3, GetBucketLogging, BUCKET)                                              \
    X(s3, GetBucketMetadataTableConfiguration, BUCKET)                           \
    X(s3, GetBucketNotification, BUCKET)                                         \
    X(s3, GetBucketObjectLockConfiguration, BUCKET)                              \
    X(s3, GetBucketOwnershipControls, BUCKET)                                    \
    X(s3, GetBucketPolicy, BUCKET)                                               \
    X(s3, GetBucketPolicyStatus, BUCKET)                                         \
    X(s3, GetBucketPublicAccessBlock, BUCKET)                                    \
    X(s3, GetBucketRequestPayment, BUCKET)                                       \
    X(s3, GetBucketTagging, BUCKET)                                              \
    X(s3, GetBucketVersioning, BUCKET)                                           \
    X(s3, GetBucketWebsite, BUCKET)                                              \
    X(s3, GetEncryptionConfiguration, BUCKET)                                    \
    X(s3, GetIntelligentTieringConfiguration, BUCKET)                            \
    X(s3, GetInventoryConfiguration, BUCKET)                                     \
    X(s3, GetLifecycleConfiguration, BUCKET)                                     \
    X(s3, GetMetricsConfiguration, BUCKET)                                       \
    X(s3, GetObject, OBJECT)                                                     \
    X(s3, GetObjectAcl, OBJECT)                                                  \
    X(s3, GetObjectAnnotation, OBJECT)                                           \
    X(s3, GetObjectAttributes, OBJECT)                                           \
    X(s3, GetObjectLegalHold, OBJECT)                                            \
    X(s3, GetObjectRetention, OBJECT)                                            \
    X(s3, GetObjectTagging, OBJECT)                                              \
    X(s3, GetObjectTorrent, OBJECT)                                              \
    X(s3, GetObjectVersion, OBJECT)                                              \
    X(s3, GetObjectVersionAcl, OBJECT)                                           \
    X(s3, GetObjectVersionAttributes, OBJECT)                                    \
    X(s3, GetObjectVersionForReplication, OBJECT)                                \
    X(s3, GetObjectVersionTagging, OBJECT)                                       \
    X(s3, GetObjectVersionTorrent, OBJECT)                                       \
    X(s3, GetReplicationConfiguration, BUCKET)                                   \
    X(s3, HeadBucket, BUCKET) /* of old policies: ListBucket is what is asked */ \
    X(s3, InitiateReplication, OBJECT)                                           \
    X(s3, ListAllMyBuckets, ACCOUNT)                                             \
    X(s3, ListBucket, BUCKET)                                                    \
    X(s3, ListBucketMultipartUploads, BUCKET)                                    \
    X(s3, ListBucketVersions, BUCKET)                                            \
    X(s3, ListMultipartUploadParts, OBJECT)                                      \
    X(s3, ListObjectAnnotations, OBJECT)                                         \
    X(s3, ListenBucketNotification, BUCKET) /* MinIO */                          \
    X(s3, ListenNotification, ACCOUNT)      /* MinIO */                          \
    X(s3, ObjectOwnerOverrideToBucketOwner, OBJECT)                              \
    X(s3, Preflight, OBJECT) /* of CORS: what asks for nothing itself */         \
    X(s3, PutAccelerateConfiguration, BUCKET)                                    \
    X(s3, PutAccountPublicAccessBlock, ACCOUNT)                                  \
    X(s3, PutAnalyticsConfiguration, BUCKET)                                     \
    X(s3, PutBucketAbac, BUCKET)                                                 \
    X(s3, PutBucketAcl, BUCKET)                                                  \
    X(s3, PutBucketCORS, BUCKET)                                                 \
    X(s3, PutBucketLogging, BUCKET)                                              \
    X(s3, PutBucketNotification, BUCKET)                                         \
    X(s3, PutBucketObjectLockConfiguration, BUCKET)                              \
    X(s3, PutBucketOwnershipControls, BUCKET)                                    \
    X(s3, PutBucketPolicy, BUCKET)                                               \
    X(s3, PutBucketPublicAccessBlock, BUCKET)                                    \
    X(s3, PutBucketRequestPayment, BUCKET)                                       \
    X(s3, PutBucketTagging, BUCKET)                                              \
    X(s3, PutBucketVersioning, BUCKET)                                           \
    X(s3, PutBucketWebsite, BUCKET)                                              \
    X(s3, PutEncryptionConfiguration, BUCKET)                                    \
    X(s3, PutIntelligentTieringConfiguration, BUCKET)                            \
    X(s3, PutInventoryConfiguration, BUCKET)                                     \
    X(s3, PutLifecycleConfiguration, BUCKET)                                     \
    X(s3, PutMetricsConfiguration, BUCKET)                                       \
    X(s3, PutObject, OBJECT)                                                     \
    X(s3, PutObjectAcl, OBJECT)                                                  \
    X(s3, PutObjectAnnotation, OBJECT)                                           \
    X(s3, PutObjectFanOut, OBJECT) /* MinIO */                                   \
    X(s3, PutObjectLegalHold, OBJECT)                                            \
    X(s3, PutObjectRetention, OBJECT)                                            \
    X(s3, PutObjectTagging, OBJECT)                                              \
    X(s3, PutObjectVersionAcl, OBJECT)                                           \
    X(s3, PutObjectVersionTagging, OBJECT)                                       \
    X(s3, PutReplicationConfiguration, BUCKET)                                   \
    X(s3, QueryApi, ACCOUNT)                                                     \
    X(s3, ReplicateDelete, OBJECT)                                               \
    X(s3, ReplicateObject, OBJECT)                                               \
    X(s3, ReplicateTags, OBJECT)                                                 \
    X(s3, ResetBucketReplicationState, BUCKET) /* MinIO */                       \
    X(s3, RestoreObject, OBJECT)                                                 \
    X(s3, UpdateBucketMetadataAnnotationTableConfiguration, BUCKET)              \
    X(s3, UpdateBucketMetadataInventoryTableConfiguration, BUCKET)               \
    X(s3, UpdateBucketMetadataJournalTableConfiguration, BUCKET)                 \
    X(s3, UpdateObjectEncryption, OBJECT)                                        \
    X(sts, AssumeRole, ARN)                                                      \
    X(sts, AssumeRoleWithWebIdentity, ARN)                                       \
    X(sts, GetCallerIdentity, ARN)                                               \
    X(sts, GetFederationToken, ARN)                                              \
    X(sts, GetSessionToken, ARN)                                                 \
    X(sts, SetSourceIdentity, ARN)                                               \
    X(sts, TagSession, ARN)

enum iam_action {
#define X(service, name, kind) IAM_##service##_##name,
    IAM_ACTIONS(X)
#undef X
        IAM_ACTION_COUNT,
};

/* Names are compared as they are written here. -1: no such action. */
int iam_action_find(struct str name);
struct str iam_action_name(enum iam_action a);
enum iam_resource_kind iam_action_kind(enum iam_action a);

/*
 * Condition keys. X(id, name, named, on): `named`: a name follows ("aws:PrincipalTag/team");
 * `on`: the actions the key has a value for: ANY, LIST (of a bucket), OBJECT.
 */
#define IAM_KEYS(X)                                                                             \
    X(CALLED_VIA, "aws:CalledVia", false, ANY)                                                  \
    X(CALLED_VIA_FIRST, "aws:CalledViaFirst", false, ANY)                                       \
    X(CALLED_VIA_LAST, "aws:CalledViaLast", false, ANY)                                         \
    X(CURRENT_TIME, "aws:CurrentTime", false, ANY)                                              \
    X(EPOCH_TIME, "aws:EpochTime", false, ANY)                                                  \
    X(FEDERATED_PROVIDER, "aws:FederatedProvider", false, ANY)                                  \
    X(MFA_AGE, "aws:MultiFactorAuthAge", false, ANY)                                            \
    X(MFA_PRESENT, "aws:MultiFactorAuthPresent", false, ANY)                                    \
    X(PRINCIPAL_ACCOUNT, "aws:PrincipalAccount", false, ANY)                                    \
    X(PRINCIPAL_ARN, "aws:PrincipalArn", false, ANY)                                            \
    X(PRINCIPAL_IS_SERVICE, "aws:PrincipalIsAWSService", false, ANY)                            \
    X(PRINCIPAL_ORG_ID, "aws:PrincipalOrgID", false, ANY)                                       \
    X(PRINCIPAL_ORG_PATHS, "aws:PrincipalOrgPaths", false, ANY)                                 \
    X(PRINCIPAL_SERVICE, "aws:PrincipalServiceName", false, ANY)                                \
    X(PRINCIPAL_SERVICES, "aws:PrincipalServiceNamesList", false, ANY)                          \
    X(PRINCIPAL_TAG, "aws:PrincipalTag", true, ANY)                                             \
    X(PRINCIPAL_TYPE, "aws:PrincipalType", false, ANY)                                          \
    X(REFERER, "aws:Referer", false, ANY)                                                       \
    X(REQUEST_TAG, "aws:RequestTag", true, ANY)                                                 \
    X(REQUESTED_REGION, "aws:RequestedRegion", false, ANY)                                      \
    X(RESOURCE_ACCOUNT, "aws:ResourceAccount", false, ANY)                                      \
    X(RESOURCE_ORG_ID, "aws:ResourceOrgID", false, ANY)                                         \
    X(RESOURCE_ORG_PATHS, "aws:ResourceOrgPaths", false, ANY)                                   \
    X(RESOURCE_TAG, "aws:ResourceTag", true, ANY)                                               \
    X(SECURE_TRANSPORT, "aws:SecureTransport", false, ANY)                                      \
    X(SOURCE_ACCOUNT, "aws:SourceAccount", false, ANY)                                          \
    X(SOURCE_ARN, "aws:SourceArn", false, ANY)                                                  \
    X(SOURCE_IDENTITY, "aws:SourceIdentity", false, ANY)                                        \
    X(SOURCE_IP, "aws:SourceIp", false, ANY)                                                    \
    X(SOURCE_ORG_ID, "aws:SourceOrgID", false, ANY)                                             \
    X(SOURCE_ORG_PATHS, "aws:SourceOrgPaths", false, ANY)                                       \
    X(SOURCE_OWNER, "aws:SourceOwner", false, ANY)                                              \
    X(SOURCE_VPC, "aws:SourceVpc", false, ANY)                                                  \
    X(SOURCE_VPCE, "aws:SourceVpce", false, ANY)                                                \
    X(TAG_KEYS, "aws:TagKeys", false, ANY)                                                      \
    X(TOKEN_ISSUE_TIME, "aws:TokenIssueTime", false, ANY)                                       \
    X(USER_AGENT, "aws:UserAgent", false, ANY)                                                  \
    X(VIA_SERVICE, "aws:ViaAWSService", false, ANY)                                             \
    X(VPC_SOURCE_IP, "aws:VpcSourceIp", false, ANY)                                             \
    X(USERID, "aws:userid", false, ANY)                                                         \
    X(USERNAME, "aws:username", false, ANY)                                                     \
    X(JWT, "jwt:", true, ANY)                               /* MinIO: claims of the token */    \
    X(OIDC, "oidc:", true, ANY)                             /* "issuer.example:claim" */        \
    X(LDAP, "ldap:", true, ANY)                             /* MinIO: attributes of the user */ \
    X(SVC_DURATION, "svc:DurationSeconds", false, ANY)      /* MinIO */                         \
    X(STS_DURATION, "sts:DurationSeconds", false, ANY)      /* MinIO */                         \
    X(STS_AUTHENTICATION, "sts:authentication", false, ANY) /* Ceph: a session's */             \
    X(STS_EXTERNAL_ID, "sts:ExternalId", false, ANY)                                            \
    X(STS_SESSION_NAME, "sts:RoleSessionName", false, ANY)                                      \
    X(S3_ACCESS_GRANTS, "s3:AccessGrantsInstanceArn", false, ANY)                               \
    X(S3_ACCESS_POINT_NETWORK, "s3:AccessPointNetworkOrigin", false, ANY)                       \
    X(S3_BUCKET_TAG, "s3:BucketTag", true, ANY)                                                 \
    X(S3_POINT_ACCOUNT, "s3:DataAccessPointAccount", false, ANY)                                \
    X(S3_POINT_ARN, "s3:DataAccessPointArn", false, ANY)                                        \
    X(S3_EXISTING_TAG, "s3:ExistingObjectTag", true, OBJECT)                                    \
    X(S3_INVENTORY_FIELDS, "s3:InventoryAccessibleOptionalFields", false, ANY)                  \
    X(S3_LOCATION_CONSTRAINT, "s3:locationconstraint", false, ANY)                              \
    X(S3_REQUEST_TAG, "s3:RequestObjectTag", true, OBJECT)                                      \
    X(S3_REQUEST_TAG_KEYS, "s3:RequestObjectTagKeys", false, OBJECT)                            \
    X(S3_RESOURCE_ACCOUNT, "s3:ResourceAccount", false, ANY)                                    \
    X(S3_TLS_VERSION, "s3:TlsVersion", false, ANY)                                              \
    X(S3_AUTH_TYPE, "s3:authType", false, ANY)                                                  \
    X(S3_DELIMITER, "s3:delimiter", false, LIST)                                                \
    X(S3_IF_MATCH, "s3:if-match", false, OBJECT)                                                \
    X(S3_IF_NONE_MATCH, "s3:if-none-match", false, OBJECT)                                      \
    X(S3_MAX_KEYS, "s3:max-keys", false, LIST)                                                  \
    X(S3_LOCK_HOLD, "s3:object-lock-legal-hold", false, OBJECT)                                 \
    X(S3_LOCK_MODE, "s3:object-lock-mode", false, OBJECT)                                       \
    X(S3_LOCK_DAYS, "s3:object-lock-remaining-retention-days", false, OBJECT)                   \
    X(S3_LOCK_UNTIL, "s3:object-lock-retain-until-date", false, OBJECT)                         \
    X(S3_CREATION_OPERATION, "s3:ObjectCreationOperation", false, OBJECT)                       \
    X(S3_PREFIX, "s3:prefix", false, LIST)                                                      \
    X(S3_SIGNATURE_AGE, "s3:signatureAge", false, ANY)                                          \
    X(S3_SIGNATURE_VERSION, "s3:signatureversion", false, ANY)                                  \
    X(S3_VERSION_ID, "s3:versionid", false, OBJECT)                                             \
    X(S3_ACL, "s3:x-amz-acl", false, ANY)                                                       \
    X(S3_CONTENT_SHA256, "s3:x-amz-content-sha256", false, ANY)                                 \
    X(S3_COPY_SOURCE, "s3:x-amz-copy-source", false, OBJECT)                                    \
    X(S3_GRANT_FULL, "s3:x-amz-grant-full-control", false, ANY)                                 \
    X(S3_GRANT_READ, "s3:x-amz-grant-read", false, ANY)                                         \
    X(S3_GRANT_READ_ACP, "s3:x-amz-grant-read-acp", false, ANY)                                 \
    X(S3_GRANT_WRITE, "s3:x-amz-grant-write", false, ANY)                                       \
    X(S3_GRANT_WRITE_ACP, "s3:x-amz-grant-write-acp", false, ANY)                               \
    X(S3_METADATA_DIRECTIVE, "s3:x-amz-metadata-directive", false, OBJECT)                      \
    X(S3_OBJECT_OWNERSHIP, "s3:x-amz-object-ownership", false, ANY)                             \
    X(S3_SSE, "s3:x-amz-server-side-encryption", false, OBJECT)                                 \
    X(S3_SSE_KEY, "s3:x-amz-server-side-encryption-aws-kms-key-id", false, OBJECT)              \
    X(S3_SSE_C, "s3:x-amz-server-side-encryption-customer-algorithm", false, OBJECT)            \
    X(S3_STORAGE_CLASS, "s3:x-amz-storage-class", false, OBJECT)                                \
    X(S3_REDIRECT, "s3:x-amz-website-redirect-location", false, OBJECT)

enum iam_key {
#define X(id, name, named, on) IAM_KEY_##id,
    IAM_KEYS(X)
#undef X
        IAM_KEY_COUNT,
};

enum iam_key_on { IAM_KEY_ON_ANY, IAM_KEY_ON_LIST, IAM_KEY_ON_OBJECT };

/*
 * The key of a full name ("aws:PrincipalTag/team", "jwt:sub"), whatever its case; *ret_name is what
 * follows, as written. -1: no such key, or a name where none belongs, or none where one does.
 */
int iam_key_find(struct str text, struct str *ret_name);
enum iam_key_on iam_key_on(enum iam_key k);

/*
 * Condition operators. X(name, type of the values, how they compare, negated)
 */
#define IAM_OPERATORS(X)                                \
    X(StringEquals, TEXT, EQ, false)                    \
    X(StringNotEquals, TEXT, EQ, true)                  \
    X(StringEqualsIgnoreCase, TEXT, EQ_NOCASE, false)   \
    X(StringNotEqualsIgnoreCase, TEXT, EQ_NOCASE, true) \
    X(StringLike, TEXT, LIKE, false)                    \
    X(StringNotLike, TEXT, LIKE, true)                  \
    X(NumericEquals, NUMBER, EQ, false)                 \
    X(NumericNotEquals, NUMBER, EQ, true)               \
    X(NumericLessThan, NUMBER, LT, false)               \
    X(NumericLessThanEquals, NUMBER, LE, false)         \
    X(NumericGreaterThan, NUMBER, GT, false)            \
    X(NumericGreaterThanEquals, NUMBER, GE, false)      \
    X(DateEquals, DATE, EQ, false)                      \
    X(DateNotEquals, DATE, EQ, true)                    \
    X(DateLessThan, DATE, LT, false)                    \
    X(DateLessThanEquals, DATE, LE, false)              \
    X(DateGreaterThan, DATE, GT, false)                 \
    X(DateGreaterThanEquals, DATE, GE, false)           \
    X(Bool, BOOL, EQ, false)                            \
    X(BinaryEquals, BINARY, EQ, false)                  \
    X(IpAddress, IP, EQ, false)                         \
    X(NotIpAddress, IP, EQ, true)                       \
    X(ArnEquals, ARN, LIKE, false)                      \
    X(ArnNotEquals, ARN, LIKE, true)                    \
    X(ArnLike, ARN, LIKE, false)                        \
    X(ArnNotLike, ARN, LIKE, true)                      \
    X(Null, NONE, EQ, false)
