/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The normal form of a DN is its own normal form, and the library reads from it the very name that
 * it reads from what was given: so no two names become one. In a filter a name is only a value.
 */

#include <ldap.h>
#include "base/library.h"
#include "base/sonames.h"
#include "fuzz.h"
#include "iam/ldap.h"

#define FUNCTIONS(X) X(ldap_bv2dn) X(ldap_dnfree)
LIBRARY(lib, SONAME_LDAP, FUNCTIONS)

static bool same_value(const struct berval *a, const struct berval *b)
{
    return str_eq_nocase(str_make(a->bv_val, a->bv_len), str_make(b->bv_val, b->bv_len)) &&
           a->bv_len == b->bv_len;
}

static bool same_rdn(LDAPRDN a, LDAPRDN b)
{
    size_t i = 0;
    for (; a[i] && b[i]; i++)
        if (!same_value(&a[i]->la_attr, &b[i]->la_attr) ||
            !same_value(&a[i]->la_value, &b[i]->la_value))
            return false;
    return !a[i] && !b[i];
}

static bool same_dn(LDAPDN a, LDAPDN b)
{
    size_t i = 0;
    for (; a && b && a[i] && b[i]; i++)
        if (!same_rdn(a[i], b[i]))
            return false;
    return (!a || !a[i]) && (!b || !b[i]);
}

/* The library reads up to a NUL behind the text. */
static bool read_dn(struct arena *a, struct str text, LDAPDN *ret)
{
    struct berval v = {text.len, arena_cstr(a, text)};
    *ret = NULL;
    return v.bv_val && lib.ldap_bv2dn(&v, ret, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
}

/* The library passes over these as over blanks, where the normal form keeps them: two names that it
 * takes for one stay two, which is the safe side. And it takes a blank behind an escaped backslash
 * for an escaped one. */
static bool has_other_blanks(struct str s)
{
    if (str_find(s, STR("\\\\ "), 0) >= 0)
        return true;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= '\t' && s.ptr[i] <= '\r')
            return true;
    return false;
}

static void check_dn(struct arena *a, struct str dn)
{
    LDAPDN given, kept;
    struct str normal = ldap_dn_normal(a, dn);
    if (!normal.ptr)
        return;
    CHECK(normal.len > IAM_LDAP_DN_MAX || str_eq(ldap_dn_normal(a, normal), normal));
    if (has_other_blanks(dn))
        return;
    if (read_dn(a, dn, &given)) {
        CHECK(read_dn(a, normal, &kept) && same_dn(given, kept));
        lib.ldap_dnfree(kept);
    }
    lib.ldap_dnfree(given);
}

static void check_filter(struct arena *a, struct str name)
{
    struct str filter = ldap_filter(a, "(&(a=%s)(b=%d))", name, name);
    unsigned marks = 0;
    CHECK(filter.ptr || name.len > 8 * KIB);
    for (size_t i = 0; i < filter.len; i++)
        marks += strchr("()*&|!=", filter.ptr[i]) != NULL;
    CHECK(!filter.ptr || marks == 9);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena a;
    arena_init(&a, 0);
    CHECK(library_load(&lib.library) == 0);
    check_dn(&a, str_make(data, len));
    check_filter(&a, str_make(data, len));
    arena_release(&a);
    return 0;
}
