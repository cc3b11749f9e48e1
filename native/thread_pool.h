// Threads that run tasks in the order in which they were posted.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shoal {

class ThreadPool {
 public:
  // `name` (at most 15 characters) is what ps and gdb show of the threads. They are started when they are needed, and are
  // `niceness` nicer (nice(2)) than who makes the pool.
  ThreadPool(std::string name, size_t max_threads, int niceness = 0);

  // Waits for the tasks that run and drops those that wait.
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Throws std::system_error when not even the first thread can be started.
  void Post(std::function<void()> task);

 private:
  void StartThread();
  void Run();

  const std::string name_;
  const size_t max_threads_;
  // Of the threads themselves; 0: whatever they begin with.
  const int niceness_;
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace shoal
