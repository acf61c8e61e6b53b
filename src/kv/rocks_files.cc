/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * How RocksDB reads and writes its files, where its own way does not do.
 *
 * Tables and value files are read by pread, as its own does, but a thread may ask that reads do not
 * wait for the disk. Then only what the page cache holds is read and everything else fails as
 * "busy". So a loop thread is served from RocksDB's caches and from the page cache, where RocksDB's
 * own way for that (a read tier) stops at its block cache and never gives a value that lies in a
 * value file.
 *
 * Logs are written and read through wal.h. Value files are written past the page cache: each page
 * of it would be touched for the first time, which costs more than all else in writing them, and
 * what was just put is rarely read before it has been read once.
 */

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <rocksdb/c.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

extern "C" {
struct wal_writer;
struct wal_reader;
uint64_t wal_number(const char *path);
void wal_note_manifest(const char *path, uint64_t number, uint64_t len, uint32_t crc);
uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len);
int wal_create(struct wal_writer **ret, const char *path);
int wal_append(struct wal_writer *w, const void *data, size_t len, bool *ret_lost);
int wal_sync(struct wal_writer *w, bool *ret_lost);
uint64_t wal_len(struct wal_writer *w);
int wal_close(struct wal_writer *w, bool *ret_lost);
int wal_retire(const char *path);
int wal_open(struct wal_reader **ret, const char *path, uint64_t log);
void wal_reader_free(struct wal_reader *r);
ssize_t wal_read(struct wal_reader *r, void *ret, size_t len);

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

/* A log. The texts are those of RocksDB's own files: rocks_error() goes by them. */
class Log : public rocksdb::FSWritableFile
{
  public:
    Log(const std::string &path, wal_writer *writer) : path_(path), writer_(writer)
    {
    }
    ~Log() override
    {
        bool lost;
        wal_close(writer_, &lost);
    }

    rocksdb::IOStatus Append(const rocksdb::Slice &data, const rocksdb::IOOptions &,
                             rocksdb::IODebugContext *) override
    {
        bool lost = false;
        int r = wal_append(writer_, data.data(), data.size(), &lost);
        return Told(r, lost);
    }
    using FSWritableFile::Append;

    /* Nobody reads a log that is being written: what comes together goes out with the next sync. */
    rocksdb::IOStatus Flush(const rocksdb::IOOptions &, rocksdb::IODebugContext *) override
    {
        return rocksdb::IOStatus::OK();
    }

    rocksdb::IOStatus Sync(const rocksdb::IOOptions &, rocksdb::IODebugContext *) override
    {
        bool lost = false;
        int r = wal_sync(writer_, &lost);
        return Told(r, lost);
    }

    rocksdb::IOStatus Close(const rocksdb::IOOptions &, rocksdb::IODebugContext *) override
    {
        bool lost = false;
        int r = wal_close(writer_, &lost);
        writer_ = nullptr;
        return Told(r, lost);
    }

    bool IsSyncThreadSafe() const override
    {
        return true;
    }

    uint64_t GetFileSize(const rocksdb::IOOptions &, rocksdb::IODebugContext *) override
    {
        return wal_len(writer_);
    }

  private:
    rocksdb::IOStatus Told(int r, bool lost) const
    {
        if (r == 0)
            return rocksdb::IOStatus::OK();
        return rocksdb::IOStatus::IOError(
            (lost ? "While fdatasync " : "While appending to ") + path_, strerror(-r));
    }

    std::string path_;
    wal_writer *writer_;
};

class LogReader : public rocksdb::FSSequentialFile
{
  public:
    LogReader(const std::string &path, wal_reader *reader) : path_(path), reader_(reader)
    {
    }
    ~LogReader() override
    {
        wal_reader_free(reader_);
    }

    rocksdb::IOStatus Read(size_t len, const rocksdb::IOOptions &, rocksdb::Slice *result,
                           char *scratch, rocksdb::IODebugContext *) override
    {
        ssize_t got = wal_read(reader_, scratch, len);
        if (got < 0)
            return rocksdb::IOStatus::IOError("While reading " + path_, strerror(int(-got)));
        *result = rocksdb::Slice(scratch, size_t(got));
        return rocksdb::IOStatus::OK();
    }

    rocksdb::IOStatus Skip(uint64_t len) override
    {
        char dropped[4096];
        while (len > 0) {
            ssize_t got = wal_read(reader_, dropped, std::min<uint64_t>(len, sizeof(dropped)));
            if (got <= 0)
                break;
            len -= uint64_t(got);
        }
        return rocksdb::IOStatus::OK();
    }

  private:
    std::string path_;
    wal_reader *reader_;
};

/* RocksDB's list of its tables. It does not miss the end of it: how long it is, is noted. */
class Manifest : public rocksdb::FSWritableFileOwnerWrapper
{
  public:
    Manifest(const std::string &path, uint64_t number,
             std::unique_ptr<rocksdb::FSWritableFile> &&file)
        : FSWritableFileOwnerWrapper(std::move(file)), path_(path), number_(number)
    {
    }

    rocksdb::IOStatus Append(const rocksdb::Slice &data, const rocksdb::IOOptions &options,
                             rocksdb::IODebugContext *debug) override
    {
        return Count(data, target()->Append(data, options, debug));
    }
    rocksdb::IOStatus Append(const rocksdb::Slice &data, const rocksdb::IOOptions &options,
                             const rocksdb::DataVerificationInfo &info,
                             rocksdb::IODebugContext *debug) override
    {
        return Count(data, target()->Append(data, options, info, debug));
    }

    rocksdb::IOStatus Sync(const rocksdb::IOOptions &options,
                           rocksdb::IODebugContext *debug) override
    {
        return Note(target()->Sync(options, debug));
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions &options,
                            rocksdb::IODebugContext *debug) override
    {
        return Note(target()->Fsync(options, debug));
    }

  private:
    rocksdb::IOStatus Count(const rocksdb::Slice &data, rocksdb::IOStatus s)
    {
        crc_ = hash_crc32c(crc_, data.data(), data.size());
        len_ += data.size();
        failed_ = failed_ || !s.ok();
        return s;
    }
    rocksdb::IOStatus Note(rocksdb::IOStatus s)
    {
        failed_ = failed_ || !s.ok();
        if (!failed_)
            wal_note_manifest(path_.c_str(), number_, len_, crc_);
        return s;
    }

    std::string path_;
    uint64_t number_, len_ = 0;
    uint32_t crc_ = 0;
    bool failed_ = false;
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

    /* A log keeps its bytes itself until they are synced: no copy of them before that. */
    rocksdb::FileOptions OptimizeForLogWrite(const rocksdb::FileOptions &options,
                                             const rocksdb::DBOptions &db) const override
    {
        rocksdb::FileOptions o = target()->OptimizeForLogWrite(options, db);
        o.writable_file_max_buffer_size = 4096;
        return o;
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

    rocksdb::IOStatus NewWritableFile(const std::string &path, const rocksdb::FileOptions &options,
                                      std::unique_ptr<rocksdb::FSWritableFile> *result,
                                      rocksdb::IODebugContext *debug) override
    {
        wal_writer *writer;
        if (IsValueFile(path))
            return NewDirectFile(path, options, result, debug);
        if (ManifestNumber(path) > 0)
            return NewManifest(path, options, result, debug);
        if (wal_number(path.c_str()) == 0)
            return target()->NewWritableFile(path, options, result, debug);
        int r = wal_create(&writer, path.c_str());
        if (r < 0)
            return rocksdb::IOStatus::IOError("While open a file for appending: " + path,
                                              strerror(-r));
        result->reset(new Log(path, writer));
        return rocksdb::IOStatus::OK();
    }

    rocksdb::IOStatus NewSequentialFile(const std::string &path,
                                        const rocksdb::FileOptions &options,
                                        std::unique_ptr<rocksdb::FSSequentialFile> *result,
                                        rocksdb::IODebugContext *debug) override
    {
        wal_reader *reader;
        if (wal_number(path.c_str()) == 0)
            return target()->NewSequentialFile(path, options, result, debug);
        int r = wal_open(&reader, path.c_str(), wal_number(path.c_str()));
        if (r < 0)
            return rocksdb::IOStatus::IOError(
                "While opening a file for sequentially reading: " + path, strerror(-r));
        result->reset(new LogReader(path, reader));
        return rocksdb::IOStatus::OK();
    }

    rocksdb::IOStatus DeleteFile(const std::string &path, const rocksdb::IOOptions &options,
                                 rocksdb::IODebugContext *debug) override
    {
        int r = wal_number(path.c_str()) == 0 ? -ENOENT : wal_retire(path.c_str());
        if (r == -ENOENT)
            return target()->DeleteFile(path, options, debug);
        if (r < 0)
            return rocksdb::IOStatus::IOError("While unlink() file: " + path, strerror(-r));
        return rocksdb::IOStatus::OK();
    }

  private:
    static bool IsValueFile(const std::string &path)
    {
        static const char end[] = ".blob";
        const size_t len = sizeof(end) - 1;
        return path.size() > len && path.compare(path.size() - len, len, end) == 0;
    }

    /* 0: it is none. */
    static uint64_t ManifestNumber(const std::string &path)
    {
        static const char begin[] = "MANIFEST-";
        const size_t at = path.rfind('/') + 1;
        if (path.compare(at, sizeof(begin) - 1, begin) != 0)
            return 0;
        return strtoull(path.c_str() + at + sizeof(begin) - 1, nullptr, 10);
    }

    rocksdb::IOStatus NewManifest(const std::string &path, const rocksdb::FileOptions &options,
                                  std::unique_ptr<rocksdb::FSWritableFile> *result,
                                  rocksdb::IODebugContext *debug)
    {
        std::unique_ptr<rocksdb::FSWritableFile> file;
        rocksdb::IOStatus s = target()->NewWritableFile(path, options, &file, debug);
        if (s.ok())
            result->reset(new Manifest(path, ManifestNumber(path), std::move(file)));
        return s;
    }

    /* Past the page cache where the file system can. */
    rocksdb::IOStatus NewDirectFile(const std::string &path, const rocksdb::FileOptions &options,
                                    std::unique_ptr<rocksdb::FSWritableFile> *result,
                                    rocksdb::IODebugContext *debug)
    {
        rocksdb::FileOptions direct = options;
        direct.use_direct_writes = true;
        rocksdb::IOStatus s = target()->NewWritableFile(path, direct, result, debug);
        return s.ok() ? s : target()->NewWritableFile(path, options, result, debug);
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
