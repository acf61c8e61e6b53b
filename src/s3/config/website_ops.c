/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Websites: what the hosts below the door's website domains answer. Only reading, only what
 * everybody may read (a signature is not looked at), with index and error documents, redirects, and
 * errors as pages.
 * Source: S3 User Guide, "Website endpoints", "Configuring a webpage redirect".
 */

#include "s3/attrs.h"
#include "s3/config/config.h"
#include "s3/config/website.h"

/* ---- the configuration, parsed once --------------------------------------------------------- */

static int parse(struct arena *a, struct str text, void *made)
{
    struct str why;
    return s3_website_parse(a, text, made, &why);
}

static int site_of(const struct store_bucket *b, const struct s3_website **ret)
{
    const void *made;
    int r = store_setting_made(b->settings, STORE_SETTING_WEBSITE, sizeof(**ret), parse, &made);
    *ret = r ? NULL : made;
    return r || made ? r : -ERR_NO_SUCH_WEBSITE;
}

int s3_canonical_website(struct s3_request *q, struct str body, struct buf *ret)
{
    struct s3_website site;
    struct str why;
    int r = s3_website_parse(q->arena, body, &site, &why);
    if (!r)
        r = s3_website_check(q->arena, &site, &why);
    if (r && why.ptr)
        q->message = why;
    if (!r)
        s3_website_xml(ret, &site);
    return r;
}

/* ---- errors as pages ------------------------------------------------------------------------ */

static void put_item(struct buf *b, const char *name, struct str value)
{
    buf_printf(b, "<li>%s: ", name);
    xml_text(b, value);
    buf_put_cstr(b, "</li>\n");
}

static int FIBER respond_page(struct s3_request *q, int err)
{
    _cleanup_buf_ struct buf b;
    const struct err_info *info = err_info(err);
    const char *text = info->http_status == 500 ? err_text(-ERR_INTERNAL) : info->text;
    struct str title = arena_printf(q->arena, "%d %s", info->http_status, info->s3_code);
    buf_init(&b, 0);
    buf_put_cstr(&b, "<html>\n<head><title>");
    xml_text(&b, title);
    buf_put_cstr(&b, "</title></head>\n<body>\n<h1>");
    xml_text(&b, title);
    buf_put_cstr(&b, "</h1>\n<ul>\n");
    put_item(&b, "Code", str_from(info->s3_code));
    put_item(&b, "Message", str_from(text));
    if (err == -ERR_NO_SUCH_KEY)
        put_item(&b, "Key", q->key);
    put_item(&b, "RequestId", str_from(http_request_id(q->x)));
    buf_put_cstr(&b, "</ul>\n<hr/>\n</body>\n</html>\n");
    q->err = err;
    (void)http_set_header(q->x, "Content-Type", STR("text/html; charset=utf-8"));
    (void)http_set_header(q->x, "x-amz-error-code", str_from(info->s3_code));
    (void)http_set_header(q->x, "x-amz-error-message", str_from(text));
    return http_respond(q->x, info->http_status, buf_error(&b) ? STR_NULL : buf_str(&b));
}

/* ---- redirects ------------------------------------------------------------------------------ */

static int FIBER respond_location(struct s3_request *q, int status, struct str address)
{
    int r = http_set_header(q->x, "Location", address);
    return r ? r : s3_respond_empty(q, status);
}

static int FIBER redirect(struct s3_request *q, const struct s3_website_redirect *to,
                          struct str prefix)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    s3_website_location(&b, to, prefix, q->key, http_is_tls(q->x) ? STR("https") : STR("http"),
                        q->head->host);
    return buf_error(&b) ? buf_error(&b)
                         : respond_location(q, to->code ? (int)to->code : 301, buf_str(&b));
}

/* ---- documents ------------------------------------------------------------------------------ */

static bool FIBER is_there(struct s3_request *q, struct str key)
{
    struct store_reader *reader = NULL;
    if (key.len > STORE_KEY_MAX || s3_authorise(q, "s3:GetObject", &q->bucket, key) ||
        store_get(q->s3->store, q->bucket.id, key, STORE_CURRENT, NULL, &reader)) {
        if (reader)
            store_reader_close(reader);
        return false;
    }
    store_reader_close(reader);
    return true;
}

/* The object, or the place it points to. `status` 0: as of any GET; else an error's document. */
static int FIBER serve_object(struct s3_request *q, struct str key, int status)
{
    struct str asked = q->key;
    int r = s3_authorise(q, "s3:GetObject", &q->bucket, key);
    q->key = key;
    if (r == -ERR_ACCESS_DENIED)
        r = s3_tell_absence(q);
    if (!r)
        r = s3_check_payer(q, &q->bucket);
    if (!r)
        r = s3_hide_absence(q, &q->bucket, key, s3_get_website_object(q, status));
    q->key = asked;
    return r;
}

static struct str joined(struct s3_request *q, struct str a, const char *middle, struct str b)
{
    return arena_printf(q->arena, "%.*s%s%.*s", STR_FMT(a), middle, STR_FMT(b));
}

/* A "folder" without its slash leads to the one with it. */
static int FIBER serve_key(struct s3_request *q, const struct s3_website *site)
{
    bool folder = q->key.len == 0 || q->key.ptr[q->key.len - 1] == '/';
    if (folder)
        return serve_object(q, joined(q, q->key, "", site->index), 0);
    int r = serve_object(q, q->key, 0);
    bool missing = r == -ERR_NO_SUCH_KEY || r == -ERR_ACCESS_DENIED;
    if (!missing || !is_there(q, joined(q, q->key, "/", site->index)))
        return r;
    /* Relative, as S3: a proxy in front may speak TLS. "//a" would be of the host `a`. */
    const char *dot = str_starts(q->path, STR("//")) ? "/." : "";
    return respond_location(q, 302, arena_printf(q->arena, "%s%.*s/", dot, STR_FMT(q->path)));
}

/* A rule for the error, the site's document for it, or our page. */
static int FIBER serve_error(struct s3_request *q, const struct s3_website *site, int err)
{
    int status = err_info(err)->http_status;
    const struct s3_website_rule *rule = s3_website_match(site, q->key, (unsigned)status);
    if (rule)
        return redirect(q, &rule->to, rule->prefix);
    if (status >= 400 && site->error_key.len && serve_object(q, site->error_key, status) == 0) {
        q->err = err;
        return 0;
    }
    return err;
}

static int FIBER serve_site(struct s3_request *q, const struct s3_website *site)
{
    if (site->redirects_all)
        return redirect(q, &site->all, STR(""));
    const struct s3_website_rule *rule = s3_website_match(site, q->key, 0);
    if (rule)
        return redirect(q, &rule->to, rule->prefix);
    int r = serve_key(q, site);
    bool client_error = r < 0 && err_info(r)->http_status / 100 != 3;
    return client_error && !http_responding(q->x) ? serve_error(q, site, r) : r;
}

/* ---- the request ---------------------------------------------------------------------------- */

static int FIBER website(struct s3_request *q)
{
    const struct s3_website *site;
    bool head = str_eq(q->head->method, STR("HEAD"));
    if (!head && !str_eq(q->head->method, STR("GET")))
        return -ERR_METHOD_NOT_ALLOWED;
    q->op = s3_op_named(head ? "HeadObject" : "GetObject");
    int r = s3_website_key(q);
    if (!r)
        r = store_bucket_get(q->s3->store, q->arena, q->bucket_name, &q->bucket);
    if (!r)
        r = site_of(&q->bucket, &site);
    if (r)
        return r;
    s3_cors_on_bucket(q);
    return serve_site(q, site);
}

int FIBER s3_website(struct s3_request *q)
{
    if (str_eq(q->head->method, STR("OPTIONS"))) {
        q->op = s3_op_named("PreflightObject");
        return s3_preflight(q);
    }
    int r = website(q);
    if (r >= 0 || http_responding(q->x) || err_info(r)->http_status == 304)
        return r;
    return respond_page(q, r);
}
