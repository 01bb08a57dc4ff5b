#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace slipway {

/// A non-owning reference to a callable; valid while the callable lives.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // NOLINT(google-explicit-constructor)
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* o, Args... args) -> R { return (*static_cast<std::remove_reference_t<F>*>(o))(args...); }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// How many threads the process may use: the affinity mask, capped by the cgroup's CPU quota; at least 1.
int AvailableThreads();

/// The right to use up to count() threads of the process-wide pool, the calling one included. Copies are cheap.
///
/// The pool has one worker a usable core, pinned to it. A parallel call takes workers that are idle at that moment on
/// cores other than the caller's and shares the work with them; where none is idle the caller does it all, so calls
/// from many threads, and calls nested in one another, neither block nor oversubscribe.
class Threads {
 public:
  /// `count` 0: as many as AvailableThreads(). Without `spin` workers sleep as soon as a call ends: the next one
  /// starts later, and no CPU is used between the two.
  explicit Threads(int count = 0, bool spin = true);
  int count() const { return count_; }
  bool spin() const { return spin_; }

  /// Runs body(begin, end) over disjoint ranges that cover [0, n). A range has a multiple of `grain` items (the last
  /// may be short); up to count() threads claim ranges as they become free. n <= grain runs on the caller alone.
  /// An exception in the body ends the loop early and comes out of the call.
  void ParallelFor(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body) const;

  /// The same with the number of the thread among the takers, 0 (the caller) to count() - 1, for scratch memory.
  void ParallelForIndexed(int64_t n, int64_t grain,
                          FunctionRef<void(int64_t begin, int64_t end, int thread)> body) const;

 private:
  int count_;
  bool spin_;
};

/// While one lives, workers of the pool spin for longer after a parallel call (2 ms) before they sleep, so that they
/// stay hot from one operator of a session's run to the next. Does nothing for one thread or where `threads` does not
/// spin.
class KeepWorkersAwake {
 public:
  explicit KeepWorkersAwake(const Threads& threads);
  ~KeepWorkersAwake();
  KeepWorkersAwake(const KeepWorkersAwake&) = delete;
  KeepWorkersAwake& operator=(const KeepWorkersAwake&) = delete;

 private:
  std::atomic<int>* count_ = nullptr;
};

}  // namespace slipway
