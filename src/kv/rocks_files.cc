/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * How RocksDB reads its tables and value files: by pread, as its own does, but a thread may ask
 * that reads do not wait for the disk. Then only what the page cache holds is read and everything
 * else fails as "busy". So a loop thread is served from RocksDB's caches and from the page
 * cache, where RocksDB's own way for that (a read tier) stops at its block cache and never gives a
 * value that lies in a value file.
 */

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <rocksdb/c.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

extern "C" {
rocksdb_env_t *rocks_env_new(void);
void rocks_set_nowait(bool nowait);
void rocks_set_cold(bool cold);
}

namespace
{
thread_local bool nowait_;
std::atomic<bool> cold_;

rocksdb::IOStatus Failed(const std::string &path)
{
    return rocksdb::IOStatus::IOError("While reading " + path, strerror(errno));
}

class File : public rocksdb::FSRandomAccessFile
{
  public:
    File(const std::string &path, int fd) : path_(path), fd_(fd)
    {
    }
    ~File() override
    {
        close(fd_);
    }

    rocksdb::IOStatus Read(uint64_t offset, size_t len, const rocksdb::IOOptions &,
                           rocksdb::Slice *result, char *scratch,
                           rocksdb::IODebugContext *) const override
    {
        size_t got = 0;
        if (nowait_ && cold_.load(std::memory_order_relaxed))
            return rocksdb::IOStatus::Busy("not in memory");
        while (got < len) {
            iovec to = {scratch + got, len - got};
            ssize_t n = preadv2(fd_, &to, 1, off_t(offset + got), nowait_ ? RWF_NOWAIT : 0);
            if (n > 0)
                got += size_t(n);
            else if (n == 0)
                break;
            else if (nowait_ && (errno == EAGAIN || errno == EOPNOTSUPP))
                return rocksdb::IOStatus::Busy("not in memory");
            else if (errno != EINTR)
                return Failed(path_);
        }
        *result = rocksdb::Slice(scratch, got);
        return rocksdb::IOStatus::OK();
    }

    rocksdb::IOStatus Prefetch(uint64_t offset, size_t len, const rocksdb::IOOptions &,
                               rocksdb::IODebugContext *) override
    {
        readahead(fd_, off_t(offset), len);
        return rocksdb::IOStatus::OK();
    }

    void Hint(AccessPattern pattern) override
    {
        if (pattern == kRandom)
            posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);
    }

    rocksdb::IOStatus InvalidateCache(size_t offset, size_t len) override
    {
        posix_fadvise(fd_, off_t(offset), off_t(len), POSIX_FADV_DONTNEED);
        return rocksdb::IOStatus::OK();
    }

  private:
    std::string path_;
    int fd_;
};

class Files : public rocksdb::FileSystemWrapper
{
  public:
    Files() : FileSystemWrapper(rocksdb::FileSystem::Default())
    {
    }
    const char *Name() const override
    {
        return "cairn";
    }

    rocksdb::IOStatus NewRandomAccessFile(const std::string &path,
                                          const rocksdb::FileOptions &options,
                                          std::unique_ptr<rocksdb::FSRandomAccessFile> *result,
                                          rocksdb::IODebugContext *debug) override
    {
        if (options.use_direct_reads || options.use_mmap_reads)
            return target()->NewRandomAccessFile(path, options, result, debug);
        int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return target()->NewRandomAccessFile(path, options, result, debug); /* its error */
        result->reset(new File(path, fd));
        return rocksdb::IOStatus::OK();
    }
};
} // namespace

/* As in RocksDB's db/c.cc, which keeps it to itself. */
struct rocksdb_env_t {
    rocksdb::Env *rep;
    bool is_default;
};

extern "C" rocksdb_env_t *rocks_env_new(void)
{
    auto *env = new rocksdb_env_t;
    env->rep = rocksdb::NewCompositeEnv(std::make_shared<Files>()).release();
    env->is_default = false;
    return env;
}

extern "C" void rocks_set_cold(bool cold)
{
    cold_.store(cold, std::memory_order_relaxed);
}

extern "C" void rocks_set_nowait(bool nowait)
{
    nowait_ = nowait;
}
