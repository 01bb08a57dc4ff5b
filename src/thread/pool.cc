#include "thread/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "thread/placement.h"

namespace slipway {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Clock::duration kSpin = std::chrono::microseconds(50);
constexpr Clock::duration kAwakeSpin = std::chrono::milliseconds(2);
// More chunks than threads, so that a slow thread does not hold the others up at the end.
constexpr int64_t kChunksPerThread = 4;
constexpr int kMaxHelpers = 511;

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins until done() or until expired(how long it has spun); whether done() came true.
template <class Done, class Expired>
bool SpinUntil(Done done, Expired expired) {
  const auto start = Clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      Pause();
    }
  } while (!expired(Clock::now() - start));
  return done();
}

/// One parallel call; lies on the caller's stack. Each taker has a share of the chunks, one after another, and goes on
/// with what is left of others' when it has done its own: from one call to the next a core meets the rows that it has
/// in its cache.
class Job {
 public:
  /// Of n, in pieces of `grain`.
  Job(FunctionRef<void(int64_t, int64_t, int)> body, int64_t n, int64_t grain, int64_t takers, bool spin)
      : spin(spin),
        body_(body),
        n_(n),
        grain_(grain),
        grains_((n - 1) / grain + 1),
        chunks_(Chunks(grains_, takers)),
        shares_(std::min(takers, kMaxShares)) {
    for (int64_t i = 0; i < shares_; ++i) {
      new (&share(i)) Share{.next = chunks_ * i / shares_, .end = chunks_ * (i + 1) / shares_};
    }
  }

  void Work(int thread) noexcept {
    try {
      for (int64_t i = 0; i < shares_; ++i) {
        Share& own = share((thread + i) % shares_);
        while (own.next.load(std::memory_order_relaxed) < own.end) {
          const int64_t at = own.next.fetch_add(1, std::memory_order_relaxed);
          if (at >= own.end) break;
          body_(Begin(at), at + 1 == chunks_ ? n_ : Begin(at + 1), thread);
        }
      }
    } catch (...) {
      if (!failed_.exchange(true)) error = std::current_exception();
      for (int64_t i = 0; i < shares_; ++i) share(i).next.store(share(i).end, std::memory_order_relaxed);
    }
  }

  const bool spin;
  std::exception_ptr error = nullptr;
  std::atomic<int> threads{1};

 private:
  /// More takers than these share the shares.
  static constexpr int64_t kMaxShares = 64;
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
  };
  /// As many for each taker.
  static int64_t Chunks(int64_t grains, int64_t takers) {
    const int64_t chunks = grains / std::max<int64_t>(grains / (takers * kChunksPerThread), 1);
    return chunks - chunks % takers;
  }
  /// Chunks differ by a grain at most.
  int64_t Begin(int64_t chunk) const {
    return (grains_ / chunks_ * chunk + grains_ % chunks_ * chunk / chunks_) * grain_;
  }
  Share& share(int64_t i) { return reinterpret_cast<Share*>(memory_)[i]; }

  FunctionRef<void(int64_t, int64_t, int)> body_;
  const int64_t n_;
  const int64_t grain_;
  const int64_t grains_;
  const int64_t chunks_;
  const int64_t shares_;
  std::atomic<bool> failed_{false};
  /// Only the shares in use are made: a small call touches a few lines.
  alignas(64) std::byte memory_[kMaxShares * sizeof(Share)];
};

/// A worker's slot holds one of these, or a Job* on offer, or a Job* + kRunning.
constexpr uintptr_t kIdle = 0;
constexpr uintptr_t kRunning = 1;
constexpr uintptr_t kNotStarted = 2;
constexpr uintptr_t kUnusable = 3;

class Worker {
 public:
  Worker(int cpu, const std::atomic<int>* keep_awake) : cpu_(cpu), keep_awake_(keep_awake) {}

  int cpu() const { return cpu_; }

  /// Hands the job over where the worker is idle and nobody makes a parallel call on its CPU.
  bool Offer(Job* job) {
    uintptr_t seen = slot_.load(std::memory_order_relaxed);
    if (seen == kNotStarted) seen = Start();
    if (seen != kIdle || callers_.load(std::memory_order_relaxed) != 0) return false;
    if (!slot_.compare_exchange_strong(seen, reinterpret_cast<uintptr_t>(job))) return false;
    // Offer, then look at asleep_; AwaitOffer() sets asleep_, then looks at the slot: one of the two sees the other.
    if (asleep_.load() && asleep_.exchange(0)) asleep_.notify_one();
    return true;
  }

  /// Takes the job back where the worker has not begun it.
  bool Revoke(Job* job) {
    auto offered = reinterpret_cast<uintptr_t>(job);
    return slot_.compare_exchange_strong(offered, kIdle, std::memory_order_acq_rel, std::memory_order_acquire) ||
           offered != (reinterpret_cast<uintptr_t>(job) | kRunning);
  }

  /// Returns once the worker has left the job, which Revoke() found running.
  void Await(const Job* job) {
    const uintptr_t running = reinterpret_cast<uintptr_t>(job) | kRunning;
    const auto left = [&] { return slot_.load(std::memory_order_acquire) != running; };
    // What is left is a chunk at most; a caller that slept would often wake on a worker's core, and halve both.
    if (SpinUntil(left, [&](auto spun) { return spun > kAwakeSpin || !job->spin; })) return;
    for (uint32_t seen = finished_.load(); !left(); seen = finished_.load()) finished_.wait(seen);
  }

  /// Between the two a caller works on this worker's CPU.
  void EnterCaller() {
    callers_.fetch_add(1, std::memory_order_relaxed);
    stop_spinning_.store(true, std::memory_order_relaxed);
  }
  void LeaveCaller() { callers_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  uintptr_t Start() {
    uintptr_t seen = kNotStarted;
    if (!slot_.compare_exchange_strong(seen, kUnusable)) return seen;
    // Signals are for the threads of the program.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this] { Loop(); }).detach();
      slot_.store(seen = kIdle);
    } catch (const std::system_error&) {
      // No more threads: the callers do the work.
      seen = kUnusable;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return seen;
  }

  [[noreturn]] void Loop() {
    pthread_setname_np(pthread_self(), "slipway");
    if (cpu_ >= 0) Pin();
    for (bool spin = true;;) {
      uintptr_t offered = AwaitOffer(spin);
      if (!slot_.compare_exchange_strong(offered, offered | kRunning)) continue;
      auto* job = reinterpret_cast<Job*>(offered);
      spin = job->spin;
      stop_spinning_.store(false, std::memory_order_relaxed);
      job->Work(job->threads.fetch_add(1, std::memory_order_relaxed));
      slot_.store(kIdle);
      finished_.fetch_add(1);
      finished_.notify_all();
    }
  }

  void Pin() const {
    const size_t bytes = CPU_ALLOC_SIZE(cpu_ + 1);
    cpu_set_t* set = CPU_ALLOC(cpu_ + 1);
    if (set == nullptr) return;
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu_, bytes, set);
    // May fail where the mask has been narrowed since: then the worker runs where it may.
    pthread_setaffinity_np(pthread_self(), bytes, set);
    CPU_FREE(set);
  }

  uintptr_t AwaitOffer(bool spin) {
    uintptr_t seen = kIdle;
    const auto offered = [&] {
      seen = slot_.load();
      return seen != kIdle && seen != kUnusable;
    };
    const auto tired = [&](auto spun) {
      return !spin || stop_spinning_.load(std::memory_order_relaxed) ||
             spun > (keep_awake_->load(std::memory_order_relaxed) > 0 ? kAwakeSpin : kSpin);
    };
    while (!SpinUntil(offered, tired)) {
      asleep_.store(1);
      if (!offered()) asleep_.wait(1);
      asleep_.store(0);
      if (offered()) break;
    }
    return seen;
  }

  alignas(64) std::atomic<uintptr_t> slot_{kNotStarted};
  std::atomic<uint32_t> asleep_{0};
  std::atomic<uint32_t> finished_{0};
  std::atomic<bool> stop_spinning_{false};
  alignas(64) std::atomic<int> callers_{0};
  const int cpu_;
  const std::atomic<int>* const keep_awake_;
};

/// Never destroyed: workers may outlive static objects.
class Pool {
 public:
  static Pool& Get() {
    Pool* pool = current_.load(std::memory_order_acquire);
    if (pool != nullptr) return *pool;
    auto* made = new Pool;
    if (current_.compare_exchange_strong(pool, made)) return *made;
    delete made;
    return *pool;
  }

  /// A forked child has none of the workers: it begins anew when it first needs a pool.
  static void ForgetInChild() { before_fork_.store(current_.exchange(nullptr)); }

  std::atomic<int>& keep_awake() { return keep_awake_; }

  /// Runs the job with up to `helpers` workers beside the caller.
  void Run(Job& job, int helpers) {
    Worker* taken[kMaxHelpers];
    int count = 0;
    const size_t size = workers_.size();
    const int cpu = sched_getcpu();
    const bool known = cpu >= 0 && static_cast<size_t>(cpu) < position_.size() && position_[cpu] >= 0;
    Worker* own = known ? workers_[position_[cpu]].get() : nullptr;
    if (own != nullptr) own->EnterCaller();
    // From the caller's place on, so that callers on different cores ask different workers first.
    size_t at = known ? position_[cpu] : 0;
    for (size_t i = 0; i < size && count < helpers; ++i) {
      if (++at >= size) at = 0;
      Worker* worker = workers_[at].get();
      if (worker != own && worker->Offer(&job)) taken[count++] = worker;
    }
    job.Work(0);
    int running = 0;
    for (int i = 0; i < count; ++i) {
      if (!taken[i]->Revoke(&job)) taken[running++] = taken[i];
    }
    for (int i = 0; i < running; ++i) taken[i]->Await(&job);
    if (own != nullptr) own->LeaveCaller();
  }

 private:
  Pool() {
    const std::vector<int> cpus = UsableCpus();
    const int available = AvailableThreads();
    // Under a quota others share the CPUs and would pin to the same few: placement is left to the scheduler.
    const bool pin = available >= static_cast<int>(cpus.size());
    const int count = pin ? static_cast<int>(cpus.size()) : available;
    if (count == 1) return;
    if (pin) position_.assign(*std::max_element(cpus.begin(), cpus.end()) + 1, -1);
    for (int i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<Worker>(pin ? cpus[i] : -1, &keep_awake_));
      if (pin) position_[cpus[i]] = i;
    }
  }

  static inline std::atomic<Pool*> current_{nullptr};
  static inline std::atomic<Pool*> before_fork_{nullptr};

  std::vector<std::unique_ptr<Worker>> workers_;
  /// By CPU: the index of its worker, -1 without one. Empty where workers are not pinned.
  std::vector<int> position_;
  std::atomic<int> keep_awake_{0};
};

[[maybe_unused]] const int kForkHandler = pthread_atfork(nullptr, nullptr, [] { Pool::ForgetInChild(); });

void RunParallel(const Threads& threads, int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (n <= grain || threads.count() == 1) return body(0, n, 0);
  const int64_t grains = (n - 1) / grain + 1;
  const int64_t takers = std::min<int64_t>({threads.count(), grains, kMaxHelpers + 1});
  Job job(body, n, grain, takers, threads.spin());
  Pool::Get().Run(job, static_cast<int>(takers) - 1);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace

int AvailableThreads() {
  const auto cpus = static_cast<double>(UsableCpus().size());
  return std::max(1, static_cast<int>(std::ceil(std::min(cpus, CpuQuota()))));
}

Threads::Threads(int count, bool spin) : count_(count > 0 ? count : AvailableThreads()), spin_(spin) {}

void Threads::ParallelFor(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) const {
  RunParallel(*this, n, grain, [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

void Threads::ParallelForIndexed(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t, int)> body) const {
  RunParallel(*this, n, grain, body);
}

KeepWorkersAwake::KeepWorkersAwake(const Threads& threads) {
  if (threads.count() == 1 || !threads.spin()) return;
  count_ = &Pool::Get().keep_awake();
  count_->fetch_add(1, std::memory_order_relaxed);
}

KeepWorkersAwake::~KeepWorkersAwake() {
  if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace slipway
