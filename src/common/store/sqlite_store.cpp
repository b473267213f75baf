#include "common/store/sqlite_store.hpp"

#include <lz4.h>
#include <sqlite3.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/runtime/sync.hpp"

namespace flux {

namespace {

// What went wrong and what to do about it.
Error sqlite_error(sqlite3 *db, int result)
{
    const char *path = sqlite3_db_filename(db, "main");
    switch (result & 0xff) {
    case SQLITE_FULL:
        return Error(ENOSPC,
                     "the content store {} cannot grow, its file system is full: make room there; what was "
                     "stored before is safe",
                     path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return Error(
            EBUSY,
            "the content store {} is in use by another broker: give this instance a statedir of its own",
            path);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return Error(
            EIO,
            "the content store {} is damaged ({}): restore it from a dump, or move it away to start anew",
            path, sqlite3_errmsg(db));
    default:
        return Error(EIO, "the content store {} failed: {}", path, sqlite3_errmsg(db));
    }
}

// A prepared statement, reset after each use.
class Statement {
public:
    Statement(sqlite3 *db, const char *sql) : db_(db)
    {
        if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) != SQLITE_OK)
            throw sqlite_error(db, sqlite3_errcode(db));
    }
    Statement(const Statement &) = delete;
    ~Statement() { sqlite3_finalize(statement_); }

    void bind(int index, int64_t value) { check(sqlite3_bind_int64(statement_, index, value)); }
    void bind_blob(int index, std::string_view value)
    {
        check(sqlite3_bind_blob64(statement_, index, value.empty() ? "" : value.data(), value.size(),
                                  SQLITE_STATIC));
    }
    void bind_text(int index, std::string_view value)
    {
        check(sqlite3_bind_text(statement_, index, value.data(), int(value.size()), SQLITE_STATIC));
    }
    // True for a row; what the row holds is valid until reset().
    bool step()
    {
        int result = sqlite3_step(statement_);
        if (result == SQLITE_ROW)
            return true;
        if (result == SQLITE_DONE)
            return false;
        Error error = sqlite_error(db_, result);
        reset();
        throw error;
    }
    int64_t integer(int column) { return sqlite3_column_int64(statement_, column); }
    std::string_view bytes(int column)
    {
        auto data = static_cast<const char *>(sqlite3_column_blob(statement_, column));
        return {data ? data : "", size_t(sqlite3_column_bytes(statement_, column))};
    }
    void reset() { sqlite3_reset(statement_); }
    void run()
    {
        step();
        reset();
    }

private:
    void check(int result)
    {
        if (result != SQLITE_OK)
            throw sqlite_error(db_, result);
    }
    sqlite3 *db_;
    sqlite3_stmt *statement_ = nullptr;
};

// Also when what the row holds turns out to be damaged.
struct ResetAfterUse {
    explicit ResetAfterUse(Statement &statement) : statement(statement) {}
    ResetAfterUse(const ResetAfterUse &) = delete;
    ~ResetAfterUse() { statement.reset(); }
    Statement &statement;
};

class Database {
public:
    Database(const std::string &path, bool durable)
    {
        int result = sqlite3_open_v2(
            path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
        std::string text = result == SQLITE_OK ? "" : sqlite3_errmsg(db_);
        try {
            if (result != SQLITE_OK)
                throw Error(EIO, "cannot open content store {}: {}", path, text);
            prepare(durable);
        } catch (...) {
            close();
            throw;
        }
    }
    ~Database() { close(); }

    std::optional<std::string> load(const std::string &digest)
    {
        ResetAfterUse reset(*load_);
        load_->bind_blob(1, digest);
        if (!load_->step())
            return std::nullopt;
        return expand(load_->integer(0), load_->bytes(1));
    }
    void commit(const std::vector<StoredBlob> &blobs, const std::vector<StoredCheckpoint> &checkpoints)
    {
        execute("BEGIN IMMEDIATE");
        try {
            for (const auto &blob : blobs)
                insert(blob);
            for (const auto &checkpoint : checkpoints) {
                auto text = checkpoint.value.dump();
                put_checkpoint_->bind_text(1, checkpoint.key);
                put_checkpoint_->bind_text(2, text);
                put_checkpoint_->run();
            }
            execute("COMMIT");
        } catch (...) {
            sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
            throw;
        }
    }
    std::optional<Json> checkpoint(const std::string &key)
    {
        get_checkpoint_->bind_text(1, key);
        std::optional<std::string> text;
        if (get_checkpoint_->step())
            text = get_checkpoint_->bytes(0);
        get_checkpoint_->reset();
        if (!text)
            return std::nullopt;
        return Json::parse_or_throw(*text);
    }

private:
    void execute(const char *sql)
    {
        int result = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
        if (result != SQLITE_OK)
            throw sqlite_error(db_, result);
    }
    void prepare(bool durable)
    {
        execute("PRAGMA journal_mode=WAL");
        execute(durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
        execute("PRAGMA locking_mode=EXCLUSIVE");
        // size: of the blob itself; as many bytes as are stored when it is not compressed
        execute("CREATE TABLE IF NOT EXISTS blobs (digest BLOB PRIMARY KEY, size INTEGER NOT NULL, "
                "bytes BLOB NOT NULL)");
        execute("CREATE TABLE IF NOT EXISTS checkpoints (key TEXT PRIMARY KEY, value TEXT NOT NULL)");
        load_.emplace(db_, "SELECT size, bytes FROM blobs WHERE digest = ?1");
        insert_.emplace(db_, "INSERT OR IGNORE INTO blobs (digest, size, bytes) VALUES (?1, ?2, ?3)");
        get_checkpoint_.emplace(db_, "SELECT value FROM checkpoints WHERE key = ?1");
        put_checkpoint_.emplace(db_, "INSERT OR REPLACE INTO checkpoints (key, value) VALUES (?1, ?2)");
    }
    void insert(const StoredBlob &blob)
    {
        std::string_view bytes = blob.bytes;
        if (bytes.size() > store_compress_threshold && bytes.size() <= LZ4_MAX_INPUT_SIZE) {
            buffer_.resize(bytes.size() - 1); // only if it gets shorter
            int length =
                LZ4_compress_default(bytes.data(), buffer_.data(), int(bytes.size()), int(buffer_.size()));
            if (length > 0)
                bytes = std::string_view(buffer_.data(), size_t(length));
        }
        insert_->bind_blob(1, blob.digest);
        insert_->bind(2, int64_t(blob.bytes.size()));
        insert_->bind_blob(3, bytes);
        insert_->run();
    }
    static std::string expand(int64_t size, std::string_view stored)
    {
        if (size_t(size) == stored.size())
            return std::string(stored);
        if (size < 0 || size > LZ4_MAX_INPUT_SIZE)
            throw Error(EIO, "content store: a blob claims to be {} bytes long", size);
        std::string out(size_t(size), '\0');
        int length = LZ4_decompress_safe(stored.data(), out.data(), int(stored.size()), int(out.size()));
        if (length != size)
            throw Error(EIO, "content store: a compressed blob of {} bytes is damaged", size);
        return out;
    }
    void close()
    {
        load_.reset();
        insert_.reset();
        get_checkpoint_.reset();
        put_checkpoint_.reset();
        sqlite3_close(db_);
    }
    sqlite3 *db_ = nullptr;
    std::optional<Statement> load_, insert_, get_checkpoint_, put_checkpoint_;
    std::string buffer_;
};

// Runs functions on the database, one after the other, on a thread. Their results come back through the loop.
class SqliteStore : public Store {
public:
    SqliteStore(Loop &loop, const std::string &path, bool durable)
        : loop_(loop), database_(path, durable), thread_([this] { work(); })
    {
    }
    ~SqliteStore() override
    {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wakeup_.notify_one();
        thread_.join();
    }
    Task<std::optional<std::string>> load(std::string digest) override
    {
        auto job = [digest](Database &database) {
            return database.load(digest);
        };
        co_return co_await submit(std::move(job));
    }
    Task<> commit(std::vector<StoredBlob> blobs, std::vector<StoredCheckpoint> checkpoints) override
    {
        auto job = [blobs = std::move(blobs), checkpoints = std::move(checkpoints)](Database &database) {
            database.commit(blobs, checkpoints);
            return true;
        };
        co_await submit(std::move(job));
    }
    Task<std::optional<Json>> checkpoint(std::string key) override
    {
        auto job = [key](Database &database) {
            return database.checkpoint(key);
        };
        co_return co_await submit(std::move(job));
    }

private:
    template <class F>
    auto submit(F fn) -> Future<std::invoke_result_t<F, Database &>>
    {
        using Result = std::invoke_result_t<F, Database &>;
        auto promise = std::make_shared<Promise<Result>>(loop_); // only ever used on the loop's thread
        {
            std::lock_guard lock(mutex_);
            queue_.push_back([this, fn = std::move(fn), promise]() mutable {
                Expected<Result> result = std::unexpected(Error(EIO));
                try {
                    result = fn(database_);
                } catch (const Error &error) {
                    result = std::unexpected(error);
                }
                loop_.post_from_any_thread(
                    [promise = std::move(promise), result = std::move(result)]() mutable {
                        if (result)
                            promise->set(std::move(*result));
                        else
                            promise->fail(result.error());
                    });
            });
        }
        wakeup_.notify_one();
        return promise->future();
    }
    void work()
    {
        std::unique_lock lock(mutex_);
        while (true) {
            wakeup_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty())
                return; // what was asked for is done before the store closes
            auto next = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            next();
            next = {};
            lock.lock();
        }
    }
    Loop &loop_;
    Database database_;
    std::mutex mutex_;
    std::condition_variable wakeup_;
    std::deque<Callback> queue_;
    bool stopping_ = false;
    std::thread thread_; // the last member: it uses the others
};

} // namespace

std::unique_ptr<Store> SqliteStoreFactory::open(std::string directory, bool durable)
{
    return std::make_unique<SqliteStore>(loop_, directory + "/content.sqlite", durable);
}

} // namespace flux
