/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The room's pure parts: addresses, targets, rules, messages; and the sender to Kafka against the
 * mock cluster that its library brings. */

#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <netinet/in.h>
#include <stdio.h>
#include <jansson.h>
#include "unit.h"
#include "events/message.h"
#include "events/rules.h"
#include "events/sender.h"
#include "http/outgoing.h"

/* ---- addresses ------------------------------------------------------------------------------ */

static int test_text(const char *ip, bool allow_local)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, ip, &in4.sin_addr) == 1)
        return http_outgoing_test((const struct sockaddr *)&in4, allow_local);
    assert_int_equal(inet_pton(AF_INET6, ip, &in6.sin6_addr), 1);
    return http_outgoing_test((const struct sockaddr *)&in6, allow_local);
}

static void local_addresses_need_a_word_and_some_are_never_taken(void **state)
{
    static const char *const local[] = {
        "127.0.0.1",   "127.255.255.254", "169.254.169.254",  "::1",
        "fe80::1",     "febf::1",         "::ffff:127.0.0.1", "::ffff:169.254.1.1",
        "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",    "fd00:ec2::254"};
    static const char *const never[] = {"0.0.0.0", "0.1.2.3", "224.0.0.1",      "255.255.255.255",
                                        "::",      "ff02::1", "::ffff:0.0.0.0", "240.0.0.1"};
    static const char *const open[] = {"10.0.0.1",        "192.168.1.1", "8.8.8.8",
                                       "172.16.0.1",      "2001:db8::1", "fd12::1",
                                       "::ffff:10.0.0.1", "128.0.0.1"};
    for (unsigned i = 0; i < ARRAY_LEN(local); i++) {
        assert_int_equal(test_text(local[i], false), -ERR_ACCESS_DENIED);
        assert_int_equal(test_text(local[i], true), 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(never); i++)
        assert_int_equal(test_text(never[i], true), -ERR_ACCESS_DENIED);
    for (unsigned i = 0; i < ARRAY_LEN(open); i++)
        assert_int_equal(test_text(open[i], false), 0);
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_int_equal(http_outgoing_test(&other, true), -ERR_ACCESS_DENIED);
}

static void names_are_resolved_before_they_are_judged(void **state)
{
    char ip[EVENT_IP_MAX], host[256];
    uint16_t port;
    static const char *const bad[] = {"",        ":1",  "x",      "x:",  "x:0",
                                      "x:65536", "x:y", "::1:80", "[]:1"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(event_address_resolve(str_from(bad[i]), true, ip, host, &port), -EINVAL);
    static const char *const same[] = {"127.0.0.1:80",  "127.1:80", "0x7f.1:80",
                                       "2130706433:80", "[::1]:80", "[::ffff:127.0.0.1]:80",
                                       "localhost:80"};
    for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
        assert_int_equal(event_address_resolve(str_from(same[i]), false, ip, host, &port),
                         -ERR_ACCESS_DENIED);
        assert_int_equal(event_address_resolve(str_from(same[i]), true, ip, host, &port), 0);
        assert_int_equal(port, 80);
    }
}

/* ---- targets -------------------------------------------------------------------------------- */

static struct event_spec webhook(void)
{
    return (struct event_spec){
        .name = STR("hook"),
        .type = EVENT_WEBHOOK,
        .options = {{STR("url"), STR("https://example.org/x")}, {STR("token"), STR("s3cret")}},
        .option_count = 2,
        .created_ms = 77};
}

static void a_target_survives_its_row(void **state)
{
    struct event_spec spec = webhook(), back;
    struct arena a;
    struct buf row;
    char why[EVENT_WHY_MAX];
    arena_init(&a, 0);
    buf_init(&row, 0);
    assert_int_equal(event_spec_validate(&spec, why), 0);
    assert_int_equal(event_spec_encode(&spec, &row), 0);
    assert_int_equal(event_spec_decode(&a, buf_str(&row), &back), 0);
    assert_true(str_eq(back.name, spec.name) && back.type == spec.type && back.created_ms == 77);
    assert_true(str_eq(event_option_of(&back, "token"), STR("s3cret")));
    assert_int_equal(event_number_of(&back, "queue-limit"), 100000);
    assert_int_equal(event_spec_decode(&a, STR("\xff\xff"), &back), -ERR_CORRUPT);
    spec.options[0].name = STR("nonsense");
    buf_reset(&row);
    assert_int_equal(event_spec_encode(&spec, &row), 0);
    assert_int_equal(event_spec_decode(&a, buf_str(&row), &back), -ERR_CORRUPT);
    buf_release(&row);
    arena_release(&a);
}

static void what_is_said_of_a_bad_option_never_is_its_value(void **state)
{
    struct event_spec spec = webhook();
    char why[EVENT_WHY_MAX];
    spec.options[1].value = STR("a\nsecret");
    assert_int_equal(event_spec_validate(&spec, why), -ERR_INVALID_ARGUMENT);
    assert_null(strstr(why, "secret"));
    assert_non_null(strstr(why, "token"));
    assert_true(event_option_is_secret(EVENT_WEBHOOK, STR("token")));
    assert_true(event_option_is_secret(EVENT_WEBHOOK, STR("not known")));
    assert_false(event_option_is_secret(EVENT_WEBHOOK, STR("url")));
}

static void a_target_serves_the_accounts_it_names(void **state)
{
    struct event_spec spec = webhook();
    char why[EVENT_WHY_MAX];
    assert_true(event_spec_serves(&spec, STR("anybody")));
    spec.options[1] = (struct event_option){STR("accounts"), STR("root,abc")};
    assert_int_equal(event_spec_validate(&spec, why), 0);
    assert_true(event_spec_serves(&spec, STR("root")) && event_spec_serves(&spec, STR("abc")));
    static const char *const others[] = {"", "ab", "abcd", "ROOT", "root,abc", ",", "*"};
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        assert_false(event_spec_serves(&spec, str_from(others[i])));
    static const char *const bad[] = {"", ",", "a,", ",a", "a,,b", "a, b", " a"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        spec.options[1].value = str_from(bad[i]);
        assert_int_equal(event_spec_validate(&spec, why), -ERR_INVALID_ARGUMENT);
    }
}

/* ---- rules ---------------------------------------------------------------------------------- */

#define RULE(id, events, prefix, suffix)                                                     \
    "<QueueConfiguration><Id>" id "</Id><Queue>arn:cairn:events::hook</Queue>" events        \
    "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>" prefix "</Value></FilterRule>"   \
    "<FilterRule><Name>suffix</Name><Value>" suffix "</Value></FilterRule></S3Key></Filter>" \
    "</QueueConfiguration>"
#define DOCUMENT(rules) "<NotificationConfiguration>" rules "</NotificationConfiguration>"

static void a_key_falls_under_one_rule(void **state)
{
    struct arena a;
    struct event_rules rules, again;
    struct event_fault fault;
    struct buf xml;
    arena_init(&a, 0);
    buf_init(&xml, 0);
    struct str text =
        STR(DOCUMENT(RULE("1", "<Event>s3:ObjectCreated:*</Event>", "in/", ".jpg")
                         RULE("2", "<Event>s3:ObjectCreated:*</Event>", "in/", ".png")
                             RULE("3", "<Event>s3:ObjectRemoved:Delete</Event>", "", "")));
    assert_int_equal(event_rules_parse(&a, text, &rules, &fault), 0);
    assert_int_equal(rules.count, 3);
    const struct event_rule *r = event_rules_match(&rules, EVENT_CREATED_COPY, STR("in/x.png"));
    assert_true(r && str_eq(r->id, STR("2")) && str_eq(r->target, STR("hook")));
    assert_null(event_rules_match(&rules, EVENT_CREATED_PUT, STR("x.png")));
    assert_null(event_rules_match(&rules, EVENT_TAGGING_PUT, STR("in/x.png")));
    assert_null(event_rules_match(&rules, EVENT_REMOVED_MARKER, STR("in/x.png")));
    r = event_rules_match(&rules, EVENT_REMOVED_DELETE, STR("anything"));
    assert_true(r && str_eq(r->id, STR("3")));
    event_rules_xml(&xml, &rules);
    assert_int_equal(event_rules_parse(&a, buf_str(&xml), &again, &fault), 0);
    assert_int_equal(again.count, 3);
    buf_release(&xml);
    arena_release(&a);
}

static void every_kind_has_its_name_and_its_family(void **state)
{
    struct arena a;
    struct event_rules rules;
    struct event_fault fault;
    for (unsigned i = 0; i < EVENT_KIND_COUNT; i++) {
        arena_init(&a, 0);
        struct str kind = event_kind_text(i);
        struct str text = arena_printf(&a,
                                       DOCUMENT("<TopicConfiguration><Topic>arn:cairn:events::t"
                                                "</Topic><Event>s3:%.*s</Event>"
                                                "</TopicConfiguration>"),
                                       STR_FMT(kind));
        assert_int_equal(event_rules_parse(&a, text, &rules, &fault), 0);
        assert_int_equal(rules.rules[0].kinds, 1u << i);
        arena_release(&a);
    }
}

/* ---- messages ------------------------------------------------------------------------------- */

static void a_message_is_json_whatever_the_key_is(void **state)
{
    char key[256];
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (char)i;
    struct outbox_row row = {.event = {.what = STORE_CREATED,
                                       .key = str_make(key, sizeof(key)),
                                       .seq = 0x123456789abcdefULL,
                                       .version = 0,
                                       .time_ms = 1767323045000,
                                       .len_bytes = 5,
                                       .etag = {.parts = 3},
                                       .name = STR("ObjectCreated:Put"),
                                       .config = STR("a \"rule\"")},
                             .bucket_name = STR("bucket"),
                             .owner = STR("owner")};
    struct buf b;
    buf_init(&b, 0);
    event_message_put(&b, &row, STR("us-east-1"));
    json_t *o = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    json_t *r = json_array_get(json_object_get(o, "Records"), 0), *s3 = json_object_get(r, "s3");
    json_t *object = json_object_get(s3, "object");
    assert_string_equal(json_string_value(json_object_get(r, "eventTime")),
                        "2026-01-02T03:04:05.000Z");
    assert_string_equal(json_string_value(json_object_get(object, "sequencer")),
                        "0123456789ABCDEF");
    assert_string_equal(json_string_value(json_object_get(object, "eTag")),
                        "00000000000000000000000000000000-3");
    assert_null(json_object_get(object, "versionId"));
    const char *encoded = json_string_value(json_object_get(object, "key"));
    assert_true(strncmp(encoded, "%00%01", 6) == 0 && strstr(encoded, "+%21") &&
                strstr(encoded, "%FF"));
    json_decref(o);
    assert_null(memchr(b.data, '\n', b.len));
    buf_release(&b);
}

/* ---- Kafka ---------------------------------------------------------------------------------- */

/* How many messages the topic has, by their keys' order of arrival. */
static unsigned consume(const char *brokers, char bodies[][64], unsigned max)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why));
    rd_kafka_conf_set(conf, "group.id", "test", why, sizeof(why));
    rd_kafka_t *c = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    assert_non_null(c);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "events", 0)->offset = 0;
    assert_int_equal(rd_kafka_assign(c, list), 0);
    unsigned n = 0;
    for (unsigned tries = 0; n < max && tries < 600; tries++) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(c, 100);
        if (m && !m->err)
            snprintf(bodies[n++], 64, "%.*s", (int)m->len, (const char *)m->payload);
        if (m)
            rd_kafka_message_destroy(m);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(c);
    rd_kafka_destroy(c);
    return n;
}

static struct event_spec kafka_spec(const char *brokers)
{
    return (struct event_spec){.name = STR("k"),
                               .type = EVENT_KAFKA,
                               .options = {{STR("brokers"), str_from(brokers)},
                                           {STR("topic"), STR("events")},
                                           {STR("timeout-ms"), STR("20000")}},
                               .option_count = 3};
}

static void kafka_gets_each_message_and_only_where_it_may(void **state)
{
    char text[256], why[EVENT_WHY_MAX], bodies[4][64];
    bool stop = false;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(owner);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(owner, 1);
    assert_non_null(cluster);
    assert_int_equal(rd_kafka_mock_topic_create(cluster, "events", 1, 1), 0);
    struct event_spec spec = kafka_spec(rd_kafka_mock_cluster_bootstraps(cluster));
    assert_int_equal(event_spec_validate(&spec, why), 0);
    struct sender_config config = {&spec, true, &stop};
    struct sender *s = NULL;
    assert_int_equal(sender_open(&s, &config, why), 0);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "{\"n\":%u}", i);
        struct event_message m = {STR("id"), STR("b/k"), str_from(text), 0};
        assert_int_equal(sender_send(s, &m, why), 0);
    }
    sender_close(s);
    assert_int_equal(consume(rd_kafka_mock_cluster_bootstraps(cluster), bodies, 4), 4);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "{\"n\":%u}", i);
        assert_string_equal(bodies[i], text);
    }
    /* The same cluster, where local addresses are not allowed. */
    config.allow_local = false;
    spec.options[2].value = STR("2000");
    assert_int_equal(sender_open(&s, &config, why), 0);
    struct event_message m = {STR("id"), STR("b/k"), STR("{}"), 0};
    assert_int_equal(sender_send(s, &m, why), -ERR_ACCESS_DENIED);
    sender_close(s);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_addresses_need_a_word_and_some_are_never_taken),
        cmocka_unit_test(names_are_resolved_before_they_are_judged),
        cmocka_unit_test(a_target_survives_its_row),
        cmocka_unit_test(what_is_said_of_a_bad_option_never_is_its_value),
        cmocka_unit_test(a_target_serves_the_accounts_it_names),
        cmocka_unit_test(a_key_falls_under_one_rule),
        cmocka_unit_test(every_kind_has_its_name_and_its_family),
        cmocka_unit_test(a_message_is_json_whatever_the_key_is),
        cmocka_unit_test(kafka_gets_each_message_and_only_where_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
