/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The one thing RocksDB's C API lacks and we cannot do without: a logger that writes nothing.
 * Debian's library is built with its assertions, and one of them says that a file is not written to
 * again after a write to it failed; its own log does just that once the disk is full, which ends
 * the process. Errors reach us as codes (rocks_error), so nothing is missed.
 */

#include <memory>
#include <rocksdb/c.h>
#include <rocksdb/env.h>

namespace
{
class SilentLogger : public rocksdb::Logger
{
  public:
    SilentLogger() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL)
    {
    }
    using Logger::Logv;
    void Logv(const char *, va_list) override
    {
    }
};
} // namespace

/* As in RocksDB's db/c.cc, which keeps it to itself. */
struct rocksdb_logger_t {
    std::shared_ptr<rocksdb::Logger> rep;
};

extern "C" void rocks_options_set_silent(rocksdb_options_t *options)
{
    rocksdb_logger_t silent{std::make_shared<SilentLogger>()};
    rocksdb_options_set_info_log(options, &silent);
}
