/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * RocksDB's CRC-32C, replaced. Debian builds the library for any x86-64, so its own goes by tables,
 * a byte or so a cycle, over every byte of the log, of tables and of value files, when written and
 * when read: a quarter of the CPU of a server that stores small objects. Ours (base/hash.h) uses
 * the processor's instructions where it has them.
 *
 * These are all the functions of RocksDB's util/crc32c.cc. The linker finds them here first and
 * then has no need of that member of the archive; for the shared library they stand in the program,
 * where the dynamic linker looks first. RocksDB's headers for them are not installed.
 */

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" {
uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len);
uint32_t hash_crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b);
void rocks_crc_link(void);
}

namespace rocksdb
{
namespace crc32c
{
uint32_t Extend(uint32_t crc, const char *data, size_t len);
uint32_t Crc32cCombine(uint32_t a, uint32_t b, size_t len_b);
std::string IsFastCrc32Supported();

uint32_t Extend(uint32_t crc, const char *data, size_t len)
{
    return hash_crc32c(crc, data, len);
}

uint32_t Crc32cCombine(uint32_t a, uint32_t b, size_t len_b)
{
    return hash_crc32c_combine(a, b, len_b);
}

/* A text for RocksDB's log, which is silent (rocks_logger.cc). */
std::string IsFastCrc32Supported()
{
    return "by the program";
}
} // namespace crc32c
} // namespace rocksdb

extern "C" void rocks_crc_link(void)
{
}
