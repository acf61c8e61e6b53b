/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Providers of web identities. */

#include "s3/query/query.h"

int FIBER query_create_provider(struct query *y)
{
    struct iam_provider spec = {.account = y->account, .url = query_param(y, "Url")};
    struct str *clients, *thumbprints;
    int r = query_list(y, "ClientIDList", IAM_PROVIDER_CLIENTS_MAX, &clients, &spec.client_count);
    if (!r)
        r = query_list(y, "ThumbprintList", IAM_PROVIDER_THUMBPRINTS_MAX, &thumbprints,
                       &spec.thumbprint_count);
    if (!r)
        r = query_no_tags(y);
    if (r)
        return r;
    spec.clients = clients;
    spec.thumbprints = thumbprints;
    r = iam_provider_add(y->iam, y->arena, &spec, &y->provider);
    if (r == -ERR_EXISTS)
        return s3_error(y->q, -ERR_ENTITY_EXISTS, "Provider with url %.*s already exists.",
                        STR_FMT(spec.url));
    if (!r)
        xml_element(&y->out, "OpenIDConnectProviderArn", y->provider.arn);
    return r;
}

static void put_list(struct query *y, const char *element, const struct str *items, size_t count)
{
    xml_open(&y->out, element);
    for (size_t i = 0; i < count; i++)
        xml_element(&y->out, "member", items[i]);
    xml_close(&y->out, element);
}

int query_get_provider(struct query *y)
{
    const struct iam_provider *p = &y->provider;
    xml_element(&y->out, "Url", p->url);
    put_list(y, "ClientIDList", p->clients, p->client_count);
    put_list(y, "ThumbprintList", p->thumbprints, p->thumbprint_count);
    query_put_time(y, "CreateDate", p->created_ms);
    return 0;
}

int query_list_providers(struct query *y)
{
    struct iam_provider *list;
    size_t count;
    int r = iam_provider_list(y->iam, y->arena, y->account, &list, &count);
    if (r)
        return r;
    xml_open(&y->out, "OpenIDConnectProviderList");
    for (size_t i = 0; i < count; i++) {
        xml_open(&y->out, "member");
        xml_element(&y->out, "Arn", list[i].arn);
        xml_close(&y->out, "member");
    }
    xml_close(&y->out, "OpenIDConnectProviderList");
    return 0;
}

int FIBER query_delete_provider(struct query *y)
{
    return iam_provider_remove(y->iam, y->provider.arn);
}

static int FIBER change_client(struct query *y, bool in)
{
    struct str client;
    int r = query_need(y, "ClientID", &client);
    return r ? r : iam_provider_change_client(y->iam, y->arena, y->provider.arn, client, in);
}

int FIBER query_add_client(struct query *y)
{
    return change_client(y, true);
}

int FIBER query_remove_client(struct query *y)
{
    return change_client(y, false);
}

int FIBER query_update_thumbprints(struct query *y)
{
    struct str *thumbprints;
    size_t count;
    int r = query_list(y, "ThumbprintList", IAM_PROVIDER_THUMBPRINTS_MAX, &thumbprints, &count);
    return r ? r
             : iam_provider_set_thumbprints(y->iam, y->arena, y->provider.arn, thumbprints, count);
}
