// The cache of compiled variants: whole entries or none, whatever happens to the disk or to other processes.
#include "backend/artifact_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/outcome.h"
#include "core/sha256.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes(const std::string& text) {
    return std::as_bytes(std::span(text));
}

class ArtifactCacheTest : public testing::Test {
  protected:
    TempFolder folder_;
    ArtifactCache cache_{folder_.path() / "deep" / "cache"};
    std::string key_ = sha256_hex("key");
};

TEST_F(ArtifactCacheTest, ReturnsWhatWasPublished) {
    EXPECT_FALSE(cache_.lookup(key_).has_value());
    const CachedArtifact published = cache_.publish(key_, bytes("machine code"), R"({"log": "x"})");
    const auto found = cache_.lookup(key_);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->path, published.path);
    EXPECT_EQ(read_file(found->path), "machine code");
    EXPECT_EQ(found->meta, R"({"log": "x"})");
    EXPECT_FALSE(cache_.lookup(sha256_hex("other")).has_value());
}

TEST_F(ArtifactCacheTest, AnotherProcessSeesTheEntry) {
    (void)cache_.publish(key_, bytes("machine code"), "{}");
    EXPECT_TRUE(ArtifactCache(cache_.root()).lookup(key_).has_value());
}

TEST_F(ArtifactCacheTest, PublishesFiles) {
    const fs::path file = folder_.write("built.so", std::string("\0elf", 4));
    (void)cache_.publish_file(key_, file, "{}");
    EXPECT_EQ(read_file(cache_.lookup(key_)->path), std::string("\0elf", 4));
    EXPECT_TRUE(fs::exists(file));
}

TEST_F(ArtifactCacheTest, WhatWasNotUsedForLongestGoesFirst) {
    const auto key = [](int i) { return sha256_hex(std::to_string(i)); };
    for (int i = 0; i < 8; ++i) {
        const fs::path artifact = cache_.publish(key(i), bytes(std::string(1000, 'x')), "{}").path;
        const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(100 - i);
        fs::last_write_time(artifact.parent_path() / "sha256", long_ago);
    }
    EXPECT_TRUE(cache_.lookup(key(0)).has_value());  // used again, and therefore kept
    cache_.trim(8000);
    for (int i = 0; i < 8; ++i)
        EXPECT_TRUE(fs::exists(cache_.root() / key(i).substr(0, 2) / key(i))) << i << ": nothing was too much";
    cache_.trim(7999);
    for (int i = 0; i < 8; ++i)
        EXPECT_EQ(cache_.lookup(key(i)).has_value(), i == 0 || i > 3) << i;
    EXPECT_TRUE(fs::is_empty(cache_.root() / "tmp"));
}

TEST_F(ArtifactCacheTest, TheFirstOfTwoPublishersWins) {
    (void)cache_.publish(key_, bytes("first"), "{}");
    const CachedArtifact second = cache_.publish(key_, bytes("second"), "{}");
    EXPECT_EQ(read_file(second.path), "first");
}

TEST_F(ArtifactCacheTest, DamageOfAnyPartCountsAsMissing) {
    for (const char* part : {"artifact", "meta.json", "sha256"}) {
        const fs::path entry = cache_.publish(key_, bytes("machine code"), "{}").path.parent_path();
        std::ofstream(entry / part, std::ios::app) << "x";
        EXPECT_FALSE(cache_.lookup(key_).has_value()) << part;
        (void)cache_.publish(key_, bytes("machine code"), "{}");
        fs::remove(entry / part);
        EXPECT_FALSE(cache_.lookup(key_).has_value()) << part;
    }
    EXPECT_TRUE(fs::is_empty(cache_.root() / "tmp"));
}

TEST_F(ArtifactCacheTest, PublishingReplacesADamagedEntry) {
    const fs::path path = cache_.publish(key_, bytes("machine code"), "{}").path;
    std::ofstream(path) << "garbage";
    (void)cache_.publish(key_, bytes("rebuilt"), "{}");
    EXPECT_EQ(read_file(cache_.lookup(key_)->path), "rebuilt");
}

TEST_F(ArtifactCacheTest, ConcurrentPublishersAgree) {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            const ArtifactCache mine(cache_.root());
            for (int i = 0; i < 25; ++i) {
                const std::string key = sha256_hex(std::to_string(i));
                (void)mine.publish(key, bytes(std::string(10000, 'x')), "{}");
                EXPECT_TRUE(mine.lookup(key).has_value());
            }
        });
    }
    threads.clear();
    EXPECT_TRUE(fs::is_empty(cache_.root() / "tmp"));
}

TEST_F(ArtifactCacheTest, LeftoversOfKilledProcessesAreSwept) {
    const fs::path old = cache_.root() / "tmp" / "old";
    fs::create_directories(old);
    fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(24));
    const TemporaryDirectory in_use = cache_.scratch();
    const ArtifactCache reopened(cache_.root());
    EXPECT_FALSE(fs::exists(old));
    EXPECT_TRUE(fs::exists(in_use.path()));
}

TEST_F(ArtifactCacheTest, AFolderWhoseMakerDiedBeforeItLockedItIsSwept) {
    const fs::path scratch = cache_.root() / "tmp";
    fs::create_directories(scratch / ".abcdef");
    const int making = ::open(scratch.c_str(), O_RDONLY | O_DIRECTORY);
    ASSERT_EQ(::flock(making, LOCK_SH), 0);
    ArtifactCache::sweep(cache_.root());
    EXPECT_TRUE(fs::exists(scratch / ".abcdef")) << "its maker may live";
    ::close(making);
    ArtifactCache::sweep(cache_.root());
    EXPECT_FALSE(fs::exists(scratch / ".abcdef"));
}

TEST_F(ArtifactCacheTest, WorkIsDoneAgainOnlyWhereTheCacheWasCleanedMeanwhile) {
    for (const bool throws : {false, true}) {
        for (const int cleaned : {0, 2, 100}) {
            SCOPED_TRACE(testing::Message() << "cleaned " << cleaned << " times, throws: " << throws);
            int calls = 0;
            const auto work = [&](const fs::path& folder) -> Result<int> {
                EXPECT_TRUE(fs::is_empty(folder));
                if (++calls <= cleaned) fs::remove_all(cache_.root());
                if (throws) throw EnvironmentError("no good");
                return Failure{Outcome::compile_error, "no good"};
            };
            if (throws) {
                EXPECT_THROW((void)cache_.undisturbed(work), EnvironmentError);
            } else {
                EXPECT_FALSE(cache_.undisturbed(work).ok());
            }
            EXPECT_EQ(calls, std::min(cleaned + 1, kCacheAttempts));
        }
    }
}

TEST_F(ArtifactCacheTest, AnUnusableRootIsAnEnvironmentError) {
    const fs::path file = folder_.write("file", "");
    try {
        const ArtifactCache cache(file / "cache");
        FAIL() << "accepted";
    } catch (const EnvironmentError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr(file.string()));
    }
}

TEST(Sha256, KnownAnswers) {  // FIPS 180-2, appendix B
    EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    Sha256 ab_c;
    ab_c.update_field("ab");
    ab_c.update_field("c");
    Sha256 a_bc;
    a_bc.update_field("a");
    a_bc.update_field("bc");
    EXPECT_NE(ab_c.hex(), a_bc.hex());
}

}  // namespace
}  // namespace attune
