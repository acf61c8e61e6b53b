/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The one error table.
 *
 * Functions return `int`: 0, or a negative code. A code is either `-errno` (from the operating
 * system or because an errno says it best: -ENOMEM, -EINVAL) or `-ERR_NAME` from the table below.
 * The table gives each code its text for people, whether a retry may help, and the HTTP status and
 * S3 code a door answers with. Nothing else in the tree maps errors.
 *
 * Source of codes and statuses: Amazon S3 API Reference, "Error responses".
 */

#include <errno.h>
#include <stdbool.h>

/* X(NAME, retryable, http_status, s3_code, text) */
#define CAIRN_ERRORS(X)                                                                            \
    /* inside the engine */                                                                        \
    X(CORRUPT, false, 500, "InternalError", "stored data does not match its digest")               \
    X(CLOSED, false, 503, "ServiceUnavailable", "the server is shutting down")                     \
    X(READ_ONLY, true, 503, "ServiceUnavailable", "the volume takes no writes after a sync error") \
    X(DISK_GONE, true, 503, "ServiceUnavailable", "a disk that is needed is gone")                 \
    X(STALE_EPOCH, true, 503, "ServiceUnavailable", "the ring has a newer epoch than the write")   \
    X(FULL, false, 507, "CairnStorageFull", "the disk is full: free space or add a disk")          \
    X(LIMIT, true, 503, "SlowDown", "a limit of the server is reached: reduce the request rate")   \
    X(BUSY, true, 503, "SlowDown", "the resource is in use: try again")                            \
    X(CONFLICT, true, 409, "OperationAborted", "a conflicting operation is in progress")           \
    X(PARSE, false, 400, "InvalidRequest", "the input cannot be parsed")                           \
    X(TOO_LARGE, false, 400, "InvalidRequest", "the input is larger than its limit")               \
    X(NOT_FOUND, false, 404, "NoSuchKey", "not found")                                             \
    X(EXISTS, false, 409, "OperationAborted", "exists already")                                    \
    /* encryption */                                                                               \
    X(WRONG_KEY, false, 500, "InternalError", "a key does not open what it should")                \
    X(KEY_LOST, false, 400, "KMS.KMSInvalidStateException",                                        \
      "The key that the object is encrypted with is not in the server's key ring. Its "            \
      "administrator can tell more.")                                                              \
    X(KMS_NOT_FOUND, false, 400, "KMS.NotFoundException",                                          \
      "The key that the request names does not exist.")                                            \
    X(KMS_UNAVAILABLE, true, 503, "ServiceUnavailable",                                            \
      "The key management service cannot be reached or does not answer. Please try again.")        \
    X(NO_SUCH_ENCRYPTION, false, 404, "ServerSideEncryptionConfigurationNotFoundError",            \
      "The server side encryption configuration was not found")                                    \
    X(ENCRYPTION_ALGORITHM, false, 400, "InvalidEncryptionAlgorithmError",                         \
      "The encryption request you specified is not valid. Supported value: AES256.")               \
    /* authentication and authorisation */                                                         \
    X(ACCESS_DENIED, false, 403, "AccessDenied", "Access Denied.")                                 \
    X(INVALID_RETENTION_PERIOD, false, 400, "InvalidRetentionPeriod",                              \
      "The retention period must be a positive integer value within its limits.")                  \
    X(OBJECT_LOCKED, false, 403, "AccessDenied",                                                   \
      "Access Denied because object protected by object lock.")                                    \
    X(NO_OBJECT_LOCK_CONFIG, false, 404, "ObjectLockConfigurationNotFoundError",                   \
      "Object Lock configuration does not exist for this bucket")                                  \
    X(ID_MISMATCH, false, 400, "IdMismatch",                                                       \
      "Document ID does not match the specified configuration ID.")                                \
    X(ILLEGAL_VERSIONING, false, 400, "IllegalVersioningConfigurationException",                   \
      "The Versioning element must be specified")                                                  \
    X(NO_SUCH_OBJECT_LOCK, false, 404, "NoSuchObjectLockConfiguration",                            \
      "The specified object does not have a ObjectLock configuration")                             \
    X(INVALID_ACCESS_KEY, false, 403, "InvalidAccessKeyId",                                        \
      "The AWS Access Key Id you provided does not exist in our records.")                         \
    X(EXPIRED_TOKEN, false, 400, "ExpiredToken", "The provided token has expired.")                \
    X(SIGNATURE_MISMATCH, false, 403, "SignatureDoesNotMatch",                                     \
      "The request signature we calculated does not match the signature you provided. Check your " \
      "key and signing method.")                                                                   \
    X(TIME_SKEWED, false, 403, "RequestTimeTooSkewed",                                             \
      "The difference between the request time and the server's time is too large.")               \
    X(EXPIRED, false, 403, "AccessDenied", "Request has expired")                                  \
    X(AUTH_HEADER_MALFORMED, false, 400, "AuthorizationHeaderMalformed",                           \
      "The authorization header you provided is not valid.")                                       \
    X(AUTH_QUERY_MALFORMED, false, 400, "AuthorizationQueryParametersError",                       \
      "Error parsing the X-Amz-Credential parameter or another authentication parameter.")         \
    X(AUTH_QUERY_ALGORITHM, false, 400, "AuthorizationQueryParametersError",                       \
      "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")                                        \
    X(INVALID_TOKEN, false, 400, "InvalidToken", "The provided token is malformed or invalid.")    \
    X(SIGNATURE_VERSION, false, 400, "InvalidRequest",                                             \
      "The authorization mechanism you have provided is not supported. Please use "                \
      "AWS4-HMAC-SHA256.")                                                                         \
    X(AUTHORIZATION_TYPE, false, 400, "InvalidArgument", "Unsupported Authorization Type")         \
    X(MISSING_SECURITY_HEADER, false, 400, "MissingSecurityHeader",                                \
      "Your request was missing a required header.")                                               \
    X(UNSIGNED_HEADERS, false, 403, "AccessDenied",                                                \
      "There were headers present in the request which were not signed")                           \
    /* the query APIs */                                                                           \
    X(NO_SUCH_ENTITY, false, 404, "NoSuchEntity",                                                  \
      "The request was rejected because it referenced an entity that does not exist.")             \
    X(ENTITY_EXISTS, false, 409, "EntityAlreadyExists",                                            \
      "The request was rejected because it attempted to create a resource that already exists.")   \
    X(DELETE_CONFLICT, false, 409, "DeleteConflict",                                               \
      "Cannot delete entity, must remove what belongs to it and detach all policies first.")       \
    X(MALFORMED_POLICY_DOCUMENT, false, 400, "MalformedPolicyDocument",                            \
      "The policy document was malformed.")                                                        \
    X(PACKED_POLICY, false, 400, "PackedPolicyTooLarge",                                           \
      "The session policies and what else the session holds are too large together.")              \
    X(LIMIT_EXCEEDED, false, 409, "LimitExceeded", "A quota of the account is reached.")           \
    X(UNMODIFIABLE_ENTITY, false, 400, "UnmodifiableEntity", "The entity cannot be changed.")      \
    X(INVALID_INPUT, false, 400, "InvalidInput", "A parameter has a value that is not valid.")     \
    X(VALIDATION, false, 400, "ValidationError", "A parameter has a value that is not valid.")     \
    X(INVALID_ACTION, false, 400, "InvalidAction", "There is no such operation.")                  \
    X(MISSING_ACTION, false, 400, "MissingAction", "The request is missing an Action parameter.")  \
    X(MISSING_AUTHENTICATION, false, 403, "MissingAuthenticationToken",                            \
      "Request is missing Authentication Token")                                                   \
    X(INVALID_CLIENT_TOKEN, false, 403, "InvalidClientTokenId",                                    \
      "The security token included in the request is invalid.")                                    \
    X(INVALID_IDENTITY_TOKEN, false, 400, "InvalidIdentityToken",                                  \
      "The web identity token that was passed could not be validated.")                            \
    X(EXPIRED_IDENTITY_TOKEN, false, 400, "ExpiredTokenException",                                 \
      "The web identity token that was passed is expired.")                                        \
    X(IDP_REJECTED, false, 403, "IDPRejectedClaim", "The identity provider's claim was rejected.") \
    X(IDP_COMMUNICATION, true, 400, "IDPCommunicationError",                                       \
      "The identity provider could not be reached to verify the token.")                           \
    /* buckets */                                                                                  \
    X(NO_SUCH_BUCKET, false, 404, "NoSuchBucket", "The specified bucket does not exist")           \
    X(BUCKET_EXISTS, false, 409, "BucketAlreadyExists",                                            \
      "The requested bucket name is not available. The bucket namespace is shared by all users "   \
      "of the system. Please select a different name and try again.")                              \
    X(BUCKET_OWNED, false, 409, "BucketAlreadyOwnedByYou",                                         \
      "Your previous request to create the named bucket succeeded and you already own it.")        \
    X(BUCKET_STATE, false, 409, "InvalidBucketState",                                              \
      "The request is not valid with the current state of the bucket.")                            \
    X(BUCKET_NOT_EMPTY, false, 409, "BucketNotEmpty",                                              \
      "The bucket you tried to delete is not empty")                                               \
    X(INVALID_BUCKET_NAME, false, 400, "InvalidBucketName", "The specified bucket is not valid.")  \
    X(TOO_MANY_BUCKETS, false, 400, "TooManyBuckets",                                              \
      "You have attempted to create more buckets than allowed")                                    \
    X(INVALID_LOCATION, false, 400, "InvalidLocationConstraint",                                   \
      "The specified location-constraint is not valid")                                            \
    X(ILLEGAL_LOCATION, false, 400, "IllegalLocationConstraintException",                          \
      "The location constraint is incompatible for the region specific endpoint this request was " \
      "sent to.")                                                                                  \
    /* objects */                                                                                  \
    X(NO_SUCH_KEY, false, 404, "NoSuchKey", "The specified key does not exist.")                   \
    X(NO_SUCH_VERSION, false, 404, "NoSuchVersion", "The specified version does not exist.")       \
    X(NO_SUCH_CORS, false, 404, "NoSuchCORSConfiguration",                                         \
      "The CORS configuration does not exist")                                                     \
    X(CORS_FORBIDDEN, false, 403, "AccessForbidden", "This CORS request is not allowed.")          \
    X(MALFORMED_FORM, false, 400, "MalformedPOSTRequest",                                          \
      "The body of your POST request is not well-formed multipart/form-data.")                     \
    X(FORM_TOO_LARGE, false, 400, "MaxPostPreDataLengthExceeded",                                  \
      "Your POST request fields preceding the upload file were too large.")                        \
    X(INVALID_POLICY_DOCUMENT, false, 400, "InvalidPolicyDocument",                                \
      "The content of the form does not meet the conditions specified in the policy document.")    \
    X(NO_SUCH_LIFECYCLE, false, 404, "NoSuchLifecycleConfiguration",                               \
      "The lifecycle configuration does not exist")                                                \
    X(NO_SUCH_WEBSITE, false, 404, "NoSuchWebsiteConfiguration",                                   \
      "The specified bucket does not have a website configuration")                                \
    X(INVALID_REDIRECT_LOCATION, false, 400, "InvalidRedirectLocation",                            \
      "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.")       \
    X(NO_OWNERSHIP_CONTROLS, false, 404, "OwnershipControlsNotFoundError",                         \
      "The bucket ownership controls were not found")                                              \
    X(BAD_REQUEST, false, 400, "BadRequest", "Bad Request")                                        \
    X(NO_SUCH_TAG_SET, false, 404, "NoSuchTagSet", "The TagSet does not exist")                    \
    X(NOT_ARCHIVED, false, 403, "InvalidObjectState",                                              \
      "Restore is not allowed for the object's current storage class.")                            \
    X(RESTORING, false, 409, "RestoreAlreadyInProgress", "Object restore is already in progress")  \
    X(ARCHIVED, false, 403, "InvalidObjectState",                                                  \
      "The operation is not valid for the object's storage class")                                 \
    X(SOURCE_ARCHIVED, false, 403, "ObjectNotInActiveTierError",                                   \
      "The source object of the COPY action is not in the active tier and is only stored in "      \
      "Amazon S3 Glacier.")                                                                        \
    X(INVALID_TAG, false, 400, "InvalidTag",                                                       \
      "The tag provided was not a valid tag. This error can occur if the tag did not pass input "  \
      "validation.")                                                                               \
    X(QUOTA_EXCEEDED, false, 403, "QuotaExceeded",                                                 \
      "The quota of the bucket or its account is used up.")                                        \
    X(INVALID_LOG_TARGET, false, 400, "InvalidTargetBucketForLogging",                             \
      "The target bucket for logging does not exist, is not owned by you, or does not have the "   \
      "appropriate grants for the log-delivery group.")                                            \
    X(INVALID_DESTINATION, false, 400, "InvalidS3DestinationBucket",                               \
      "The destination bucket does not exist, or is not given by its ARN.")                        \
    X(TOO_MANY_CONFIGURATIONS, false, 400, "TooManyConfigurations",                                \
      "You are attempting to create a new configuration but have already reached the "             \
      "1,000-configuration limit.")                                                                \
    X(NO_SUCH_CONFIGURATION, false, 404, "NoSuchConfiguration",                                    \
      "The specified configuration does not exist.")                                               \
    X(MALFORMED_ACL, false, 400, "MalformedACLError",                                              \
      "The XML you provided was not well-formed or did not validate against our published schema") \
    X(UNRESOLVABLE_EMAIL, false, 400, "UnresolvableGrantByEmailAddress",                           \
      "The e-mail address you provided does not match any account on record.")                     \
    X(AMBIGUOUS_EMAIL, false, 400, "AmbiguousGrantByEmailAddress",                                 \
      "The e-mail address you provided is associated with more than one account.")                 \
    X(ACL_NOT_SUPPORTED, false, 400, "AccessControlListNotSupported",                              \
      "The bucket does not allow ACLs")                                                            \
    X(BUCKET_ACL_WITH_OWNERSHIP, false, 400, "InvalidBucketAclWithObjectOwnership",                \
      "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")            \
    X(UNEXPECTED_CONTENT, false, 400, "UnexpectedContent",                                         \
      "This request contains unsupported content.")                                                \
    X(NO_SUCH_UPLOAD, false, 404, "NoSuchUpload",                                                  \
      "The specified upload does not exist. The upload ID may be invalid, or the upload may have " \
      "been aborted or completed.")                                                                \
    X(KEY_TOO_LONG, false, 400, "KeyTooLongError", "Your key is too long")                         \
    X(PRECONDITION_FAILED, false, 412, "PreconditionFailed",                                       \
      "At least one of the pre-conditions you specified did not hold")                             \
    X(NOT_MODIFIED, false, 304, "NotModified", "Not Modified")                                     \
    X(CONDITIONAL_CONFLICT, true, 409, "ConditionalRequestConflict",                               \
      "The conditional request cannot succeed due to a conflicting operation against this "        \
      "resource.")                                                                                 \
    X(INVALID_RANGE, false, 416, "InvalidRange", "The requested range is not satisfiable")         \
    X(ENTITY_TOO_LARGE, false, 400, "EntityTooLarge",                                              \
      "Your proposed upload exceeds the maximum allowed object size.")                             \
    X(ENTITY_TOO_SMALL, false, 400, "EntityTooSmall",                                              \
      "Your proposed upload is smaller than the minimum allowed size")                             \
    X(INVALID_PART, false, 400, "InvalidPart",                                                     \
      "One or more of the specified parts could not be found.  The part may not have been "        \
      "uploaded, or the specified entity tag may not match the part's entity tag.")                \
    X(INVALID_PART_NUMBER, false, 416, "InvalidPartNumber",                                        \
      "The requested partnumber is not satisfiable")                                               \
    X(INVALID_PART_ORDER, false, 400, "InvalidPartOrder",                                          \
      "The list of parts was not in ascending order. Parts must be ordered by part number.")       \
    X(BAD_DIGEST, false, 400, "BadDigest",                                                         \
      "The Content-MD5 or checksum value that you specified did not match what the server "        \
      "received.")                                                                                 \
    X(INVALID_DIGEST, false, 400, "InvalidDigest",                                                 \
      "The Content-MD5 or checksum value that you specified is not valid.")                        \
    X(SHA256_MISMATCH, false, 400, "XAmzContentSHA256Mismatch",                                    \
      "The provided 'x-amz-content-sha256' header does not match what was computed.")              \
    X(INCOMPLETE_BODY, false, 400, "IncompleteBody",                                               \
      "You did not provide the number of bytes specified by the Content-Length HTTP header")       \
    X(MISSING_LENGTH, false, 411, "MissingContentLength",                                          \
      "You must provide the Content-Length HTTP header.")                                          \
    X(INVALID_CHUNK_SIZE, false, 403, "InvalidChunkSizeError",                                     \
      "Only the last chunk is allowed to have a size less than 8192 bytes")                        \
    X(MALFORMED_TRAILER, false, 400, "MalformedTrailerError",                                      \
      "The request contained trailing data that was not well-formed or did not conform to our "    \
      "published schema.")                                                                         \
    X(METADATA_TOO_LARGE, false, 400, "MetadataTooLarge",                                          \
      "Your metadata headers exceed the maximum allowed metadata size")                            \
    X(INVALID_STORAGE_CLASS, false, 400, "InvalidStorageClass",                                    \
      "The storage class you specified is not valid")                                              \
    /* SelectObjectContent (API Reference, "List of SELECT Object Content Error Codes") */         \
    X(SELECT_BUSY, true, 503, "Busy", "The service is unavailable. Try again later.")              \
    X(SELECT_EMPTY_BODY, false, 400, "EmptyRequestBody", "The request body cannot be empty.")      \
    X(SELECT_PARAMETER, false, 400, "InvalidRequestParameter",                                     \
      "The value of a parameter in the SelectRequest element is not valid.")                       \
    X(SELECT_MISSING_PARAMETER, false, 400, "MissingRequiredParameter",                            \
      "The SelectRequest element is missing a required parameter.")                                \
    X(SELECT_EXPRESSION_TYPE, false, 400, "InvalidExpressionType",                                 \
      "The ExpressionType is not valid. Only SQL expressions are supported.")                      \
    X(SELECT_TOO_LONG, false, 400, "ExpressionTooLong",                                            \
      "The SQL expression is too long: it may have 256 KB.")                                       \
    X(SELECT_COMPRESSION, false, 400, "InvalidCompressionFormat",                                  \
      "The compression type is not valid. Only NONE, GZIP and BZIP2 are supported.")               \
    X(SELECT_TRUNCATED, false, 400, "TruncatedInput",                                              \
      "The object cannot be decompressed in the format that the request names.")                   \
    X(SELECT_SOURCE, false, 400, "InvalidDataSource",                                              \
      "The data source is not valid. Only CSV and JSON are supported.")                            \
    X(SELECT_HEADER_INFO, false, 400, "InvalidFileHeaderInfo",                                     \
      "The FileHeaderInfo is not valid. Only NONE, USE and IGNORE are supported.")                 \
    X(SELECT_JSON_TYPE, false, 400, "InvalidJsonType",                                             \
      "The JsonType is not valid. Only DOCUMENT and LINES are supported.")                         \
    X(SELECT_QUOTE_FIELDS, false, 400, "InvalidQuoteFields",                                       \
      "The QuoteFields is not valid. Only ALWAYS and ASNEEDED are supported.")                     \
    X(SELECT_CONFLICT, false, 400, "ObjectSerializationConflict",                                  \
      "The request names more than one format, or none, where one belongs.")                       \
    X(SELECT_SCAN_RANGE, false, 400, "InvalidScanRange", "The scan range is not valid.")           \
    X(SELECT_SCAN_INPUT, false, 400, "UnsupportedScanRangeInput",                                  \
      "Scan ranges are for uncompressed CSV without quoted record delimiters and for JSON "        \
      "lines.")                                                                                    \
    X(SELECT_RECORD_SIZE, false, 400, "OverMaxRecordSize",                                         \
      "A record in the input or the result is longer than 1 MB.")                                  \
    X(SELECT_COLUMNS, false, 400, "OverMaxColumn", "There are more columns than may be.")          \
    X(SELECT_ENCODING, false, 400, "InvalidTextEncoding", "The object is not encoded in UTF-8.")   \
    X(SELECT_CSV, false, 400, "CSVParsingError",                                                   \
      "The object is not CSV as the request describes it.")                                        \
    X(SELECT_JSON, false, 400, "JSONParsingError", "The object is not JSON.")                      \
    X(SELECT_HEADERS, false, 400, "MissingHeaders",                                                \
      "Some headers in the query are missing from the file.")                                      \
    X(SELECT_AMBIGUOUS, false, 400, "AmbiguousFieldName",                                          \
      "A field name matches several fields: quote it.")                                            \
    X(SELECT_COLUMN_INDEX, false, 400, "InvalidColumnIndex",                                       \
      "A column index or name is not valid for the input.")                                        \
    X(SELECT_BINDING, false, 400, "EvaluatorBindingDoesNotExist",                                  \
      "A column name or a path in the SQL expression does not exist.")                             \
    X(SELECT_CAST, false, 400, "CastFailed",                                                       \
      "A value cannot be converted to the type it is used as.")                                    \
    X(SELECT_OVERFLOW, false, 400, "IntegerOverflow", "An integer is too large.")                  \
    X(SELECT_LIKE, false, 400, "LikeInvalidInputs", "LIKE takes strings.")                         \
    X(SELECT_ESCAPE, false, 400, "EvaluatorLikePatternInvalidEscapeSequence",                      \
      "The escape character of LIKE is followed by none of %, _ and itself.")                      \
    X(SELECT_ARGUMENTS, false, 400, "EvaluatorInvalidArguments",                                   \
      "The arguments of an operator or a function are not valid.")                                 \
    X(SELECT_NEGATIVE_LIMIT, false, 400, "EvaluatorNegativeLimit", "LIMIT must not be negative.")  \
    X(SELECT_TIME, false, 400, "ValueParseFailure", "A text is no timestamp.")                     \
    X(SELECT_PATTERN, false, 400, "EvaluatorInvalidTimestampFormatPattern",                        \
      "The pattern of a timestamp is not valid.")                                                  \
    X(SELECT_PATTERN_OPEN, false, 400, "EvaluatorUnterminatedTimestampFormatPatternToken",         \
      "The pattern of a timestamp has a quote that is not closed.")                                \
    X(SELECT_FUNCTION, false, 400, "UnsupportedFunction", "There is no such SQL function.")        \
    X(SELECT_STRUCTURE, false, 400, "UnsupportedSqlStructure",                                     \
      "The SQL expression has a form that is not supported.")                                      \
    X(SELECT_OPERATION, false, 400, "UnsupportedSqlOperation",                                     \
      "The SQL expression has an operation that is not supported.")                                \
    X(SELECT_ARGUMENT_COUNT, false, 400, "IllegalSqlFunctionArgument",                             \
      "An SQL function has a wrong number of arguments.")                                          \
    X(SELECT_LEX_CHAR, false, 400, "LexerInvalidChar",                                             \
      "The SQL expression has a character that is not valid.")                                     \
    X(SELECT_LEX_LITERAL, false, 400, "LexerInvalidLiteral",                                       \
      "The SQL expression has a literal that is not valid.")                                       \
    X(SELECT_LEX_ION, false, 400, "LexerInvalidIONLiteral",                                        \
      "The SQL expression has an Ion literal that is no timestamp.")                               \
    X(SELECT_LEX_OPERATOR, false, 400, "LexerInvalidOperator",                                     \
      "The SQL expression has an operator that is not valid.")                                     \
    X(SELECT_ASTERISK, false, 400, "ParseAsteriskIsNotAloneInSelectList",                          \
      "The asterisk must be alone in the SELECT list.")                                            \
    X(SELECT_CAST_ARITY, false, 400, "ParseCastArity", "CAST takes one expression and a type.")    \
    X(SELECT_EMPTY, false, 400, "ParseEmptySelect", "The SELECT list is empty.")                   \
    X(SELECT_DATE_PART, false, 400, "ParseExpectedDatePart", "A part of a date was expected.")     \
    X(SELECT_EXPRESSION, false, 400, "ParseExpectedExpression", "An expression was expected.")     \
    X(SELECT_ALIAS, false, 400, "ParseExpectedIdentForAlias",                                      \
      "A name was expected for the alias.")                                                        \
    X(SELECT_KEYWORD, false, 400, "ParseExpectedKeyword", "A keyword was expected.")               \
    X(SELECT_CAST_PAREN, false, 400, "ParseExpectedLeftParenAfterCast",                            \
      "A left parenthesis was expected after CAST.")                                               \
    X(SELECT_CALL_OPEN, false, 400, "ParseExpectedLeftParenBuiltinFunctionCall",                   \
      "A left parenthesis was expected in a function call.")                                       \
    X(SELECT_CALL_CLOSE, false, 400, "ParseExpectedRightParenBuiltinFunctionCall",                 \
      "A right parenthesis was expected in a function call.")                                      \
    X(SELECT_LIST_OPEN, false, 400, "ParseExpectedLeftParenValueConstructor",                      \
      "A left parenthesis was expected before a list of values.")                                  \
    X(SELECT_NUMBER, false, 400, "ParseExpectedNumber", "A number was expected.")                  \
    X(SELECT_TYPE_NAME, false, 400, "ParseExpectedTypeName", "A type was expected.")               \
    X(SELECT_TYPE_PARAM, false, 400, "ParseInvalidTypeParam",                                      \
      "The parameter of a type is not valid.")                                                     \
    X(SELECT_WHEN, false, 400, "ParseExpectedWhenClause", "WHEN was expected in CASE.")            \
    X(SELECT_TOKEN_TYPE, false, 400, "ParseExpectedTokenType", "Another token was expected.")      \
    X(SELECT_WILDCARD, false, 400, "ParseInvalidContextForWildcardInSelectList",                   \
      "A wildcard is not valid here.")                                                             \
    X(SELECT_PATH, false, 400, "ParseInvalidPathComponent", "A component of a path is not valid.") \
    X(SELECT_AGGREGATE_ARITY, false, 400, "ParseNonUnaryAgregateFunctionCall",                     \
      "An aggregate function takes one argument.")                                                 \
    X(SELECT_NO_FROM, false, 400, "ParseSelectMissingFrom",                                        \
      "FROM is missing after the SELECT list.")                                                    \
    X(SELECT_UNEXPECTED_KEYWORD, false, 400, "ParseUnexpectedKeyword",                             \
      "A keyword was not expected.")                                                               \
    X(SELECT_UNEXPECTED_OPERATOR, false, 400, "ParseUnexpectedOperator",                           \
      "An operator was not expected.")                                                             \
    X(SELECT_UNEXPECTED_TERM, false, 400, "ParseUnexpectedTerm", "A term was not expected.")       \
    X(SELECT_UNEXPECTED_TOKEN, false, 400, "ParseUnexpectedToken", "A token was not expected.")    \
    X(SELECT_CALL_STAR, false, 400, "ParseUnsupportedCallWithStar",                                \
      "Only COUNT takes an asterisk.")                                                             \
    X(SELECT_NO_SELECT, false, 400, "ParseUnsupportedSelect",                                      \
      "The SQL expression must be a SELECT.")                                                      \
    X(SELECT_SYNTAX, false, 400, "ParseUnsupportedSyntax",                                         \
      "The SQL expression has syntax that is not supported.")                                      \
    /* requests */                                                                                 \
    X(INVALID_ARGUMENT, false, 400, "InvalidArgument", "Invalid Argument")                         \
    X(INVALID_REQUEST, false, 400, "InvalidRequest", "Invalid Request")                            \
    X(INVALID_URI, false, 400, "InvalidURI", "Couldn't parse the specified URI.")                  \
    X(MALFORMED_XML, false, 400, "MalformedXML",                                                   \
      "The XML you provided was not well-formed or did not validate against our published schema") \
    X(MALFORMED_POLICY, false, 400, "MalformedPolicy", "This policy is not well-formed.")          \
    X(NO_SUCH_PUBLIC_ACCESS_BLOCK, false, 404, "NoSuchPublicAccessBlockConfiguration",             \
      "The public access block configuration was not found")                                       \
    X(NO_SUCH_BUCKET_POLICY, false, 404, "NoSuchBucketPolicy", "The bucket policy does not exist") \
    X(MAX_MESSAGE_LENGTH, false, 400, "MaxMessageLengthExceeded", "Your request was too big.")     \
    X(HEADERS_TOO_LARGE, false, 400, "RequestHeaderSectionTooLarge",                               \
      "Your request header section exceeds the maximum allowed size")                              \
    X(URI_TOO_LONG, false, 414, "RequestURITooLong",                                               \
      "The request line exceeds the maximum allowed size")                                         \
    X(METHOD_NOT_ALLOWED, false, 405, "MethodNotAllowed",                                          \
      "The specified method is not allowed against this resource.")                                \
    X(REQUEST_TIMEOUT, true, 400, "RequestTimeout",                                                \
      "Your socket connection to the server was not read from or written to within the timeout "   \
      "period.")                                                                                   \
    X(CLIENT_GONE, false, 400, "ClientDisconnected",                                               \
      "the client closed the connection before it had the whole answer")                           \
    X(NOT_IMPLEMENTED, false, 501, "NotImplemented",                                               \
      "A header or query you provided implies functionality that is not implemented")              \
    X(SLOW_DOWN, true, 503, "SlowDown", "Please reduce your request rate.")                        \
    X(UNAVAILABLE, true, 503, "ServiceUnavailable", "Please try again.")                           \
    X(INTERNAL, true, 500, "InternalError", "We encountered an internal error. Please try again.")

/* The errnos that may reach a door. X(errno, retryable, http_status, s3_code, text) */
#define CAIRN_ERRNOS(X)                                                                     \
    X(ENOMEM, true, 503, "SlowDown", "out of memory: try again later")                      \
    X(EMFILE, true, 503, "SlowDown", "out of file descriptors: try again later")            \
    X(ENFILE, true, 503, "SlowDown", "out of file descriptors: try again later")            \
    X(ENOSPC, false, 507, "CairnStorageFull", "the disk is full: free space or add a disk") \
    X(EDQUOT, false, 507, "CairnStorageFull", "the disk quota is used up")                  \
    X(EFBIG, false, 507, "CairnStorageFull", "files may not grow as large as needed")       \
    X(EROFS, true, 503, "ServiceUnavailable", "the file system takes no writes")            \
    X(EIO, true, 500, "InternalError", "the disk reported an input/output error")           \
    X(ETIMEDOUT, true, 400, "RequestTimeout", "the deadline passed")                        \
    X(ECANCELED, true, 503, "ServiceUnavailable", "the operation was cancelled")            \
    X(EINVAL, false, 400, "InvalidArgument", "invalid argument")

enum err {
    ERR_FIRST_ = 4095, /* above every errno, so that the two never meet */
#define X(name, ...) ERR_##name,
    CAIRN_ERRORS(X)
#undef X
        ERR_LAST_,
};

struct err_info {
    int code;            /* positive: an errno or an `enum err` */
    const char *name;    /* "NO_SUCH_KEY", "ENOSPC" */
    bool retryable;      /* the same request may succeed later */
    int http_status;     /* 4xx or 5xx */
    const char *s3_code; /* "NoSuchKey" */
    const char *text;    /* one sentence for people */
};

/*
 * The row for a negative (or positive) code. Never NULL: an unknown code gives INTERNAL's row.
 */
const struct err_info *err_info(int code);

/* The code, positive, whose row has that name, for what is kept beyond the process: numbers are not
 * for ever. 0: there is none. */
int err_find(const char *name);

/* Shorthand: err_info(code)->text, for messages. */
const char *err_text(int code);
