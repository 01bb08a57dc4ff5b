#include "thread/pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace slipway {
namespace {

/// Sums [0, n) over the pool.
int64_t ParallelSum(const Threads& threads, int64_t n, int64_t grain) {
  std::atomic<int64_t> sum{0};
  threads.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    int64_t part = 0;
    for (int64_t i = begin; i < end; ++i) part += i;
    sum += part;
  });
  return sum;
}

TEST(Threads, EveryItemOnceInWholeGrains) {
  for (const int count : {1, 2, 3, 8, 1000}) {
    for (const int64_t n : {0, 1, 2, 3, 7, 16, 17, 100, 1009}) {
      for (const int64_t grain : {-1, 0, 1, 2, 5, 16, 1008, 1009, 5000}) {
        SCOPED_TRACE(testing::Message() << count << " threads, n " << n << ", grain " << grain);
        std::vector<int> seen(n);
        Threads(count).ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
          EXPECT_LT(begin, end);
          EXPECT_LE(end, n);
          if (grain > 0 && end < n) {
            EXPECT_EQ((end - begin) % grain, 0);
          }
          for (int64_t i = begin; i < end; ++i) ++seen[i];
        });
        EXPECT_EQ(seen, std::vector<int>(n, 1));
      }
    }
  }
}

/// Equal work for each thread, wherever it can be had: 36 panels for two went 20 to 16.
TEST(Threads, ChunksAreAsManyForEachAndAlike) {
  for (const int64_t n : {2, 9, 36, 50, 131, 1000}) {
    std::mutex mutex;
    std::vector<int64_t> sizes;
    Threads(2).ParallelFor(n, 1, [&](int64_t begin, int64_t end) {
      const std::lock_guard lock(mutex);
      sizes.push_back(end - begin);
    });
    EXPECT_EQ(sizes.size() % 2, 0) << n;
    const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
    EXPECT_LE(*most - *least, 1) << n;
  }
}

TEST(Threads, HugeRangesDoNotOverflow) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const int64_t grain : {kMax / 2, kMax / 3, kMax - 1, kMax}) {
    std::atomic<int64_t> items{0};
    Threads(2).ParallelFor(kMax, grain, [&](int64_t begin, int64_t end) { items += end - begin; });
    EXPECT_EQ(items, kMax);
  }
}

TEST(Threads, NegativeSizeRunsNothing) {
  Threads(2).ParallelFor(-5, 1, [](int64_t, int64_t) { FAIL(); });
}

TEST(Threads, SmallRunsStayOnTheCaller) {
  const auto caller = std::this_thread::get_id();
  Threads(8).ParallelFor(10, 10, [&](int64_t, int64_t) { EXPECT_EQ(std::this_thread::get_id(), caller); });
  Threads(1).ParallelFor(1000, 1, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(end - begin, 1000);
  });
}

TEST(Threads, CountIsAsAskedOrAvailable) {
  EXPECT_GE(AvailableThreads(), 1);
  EXPECT_EQ(Threads().count(), AvailableThreads());
  EXPECT_EQ(Threads(5).count(), 5);
}

TEST(Threads, IndicesAreUniqueAmongTakersAndUnderCount) {
  for (const int count : {1, 2, 3}) {
    const Threads threads(count);
    for (int repeat = 0; repeat < 200; ++repeat) {
      std::vector<std::atomic<int>> busy(count);
      threads.ParallelForIndexed(64, 1, [&](int64_t, int64_t, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, count);
        EXPECT_EQ(busy[thread].fetch_add(1), 0);
        busy[thread].fetch_sub(1);
      });
    }
  }
}

TEST(Threads, WorkersTakePart) {
  if (AvailableThreads() < 2) GTEST_SKIP();
  // Each of two chunks waits for the other to begin: only two threads can finish this.
  std::atomic<int> begun{0};
  Threads(2).ParallelFor(2, 1, [&](int64_t, int64_t) {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  });
  EXPECT_EQ(begun, 2);
}

TEST(Threads, NestedCalls) {
  const Threads threads;
  std::atomic<int64_t> sum{0};
  threads.ParallelFor(20, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sum += ParallelSum(threads, 100, 3);
  });
  EXPECT_EQ(sum, 20 * 4950);
}

TEST(Threads, ManyCallersAtOnce) {
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([t] {
      const Threads threads(t % 2 ? 0 : 3, t % 3 != 0);
      for (int i = 0; i < 300; ++i) {
        if (i % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ASSERT_EQ(ParallelSum(threads, 1000, 1 + i % 50), 499500);
      }
    });
  }
  for (auto& caller : callers) caller.join();
}

TEST(Threads, SleepingWorkersWake) {
  for (const bool spin : {true, false}) {
    const Threads threads(2, spin);
    for (int i = 0; i < 50; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 4));
      ASSERT_EQ(ParallelSum(threads, 1000, 10), 499500);
    }
  }
}

TEST(Threads, ExceptionsEndTheLoopAndComeOut) {
  const Threads threads(2);
  for (const int64_t bad : {0, 1, 50, 99}) {
    std::atomic<int> ran{0};
    const auto body = [&](int64_t begin, int64_t) {
      ++ran;
      if (begin == bad) throw std::runtime_error("chunk " + std::to_string(begin));
    };
    try {
      threads.ParallelFor(100, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) body(i, i + 1);
      });
      FAIL() << "no exception for " << bad;
    } catch (const std::runtime_error& e) {
      EXPECT_EQ(e.what(), "chunk " + std::to_string(bad));
    }
    EXPECT_LE(ran, 100);
    EXPECT_EQ(ParallelSum(threads, 100, 1), 4950);
  }
  EXPECT_THROW(threads.ParallelFor(100, 1, [](int64_t, int64_t) { throw 1; }), int);
}

TEST(Threads, AForkedChildHasItsOwnPool) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts threads";
#endif
  const Threads threads(2);
  const KeepWorkersAwake awake(threads);
  ASSERT_EQ(ParallelSum(threads, 1000, 10), 499500);
  for (int i = 0; i < 3; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(60);
      bool good = true;
      for (int j = 0; j < 50; ++j) good = good && ParallelSum(threads, 1000, 10) == 499500;
      _exit(good ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(ParallelSum(threads, 1000, 10), 499500);
  }
}

TEST(Threads, AnIdleProcessUsesNoCpu) {
  const Threads threads(2);
  const KeepWorkersAwake awake(threads);
  ASSERT_EQ(ParallelSum(threads, 1000, 10), 499500);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto used = [] {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
  };
  const double before = used();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(used() - before, 10);
}

}  // namespace
}  // namespace slipway
