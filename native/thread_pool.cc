#include "thread_pool.h"

#include <pthread.h>
#include <sys/resource.h>

#include <system_error>
#include <utility>

namespace shoal {

ThreadPool::ThreadPool(std::string name, size_t max_threads, int niceness)
    : name_(std::move(name)), max_threads_(max_threads), niceness_(niceness == 0 ? 0 : getpriority(PRIO_PROCESS, 0) + niceness) {}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    tasks_.clear();
  }
  posted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Post(std::function<void()> task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (idle_ <= tasks_.size() && threads_.size() < max_threads_) StartThread();
  tasks_.push_back(std::move(task));
  posted_.notify_one();
}

void ThreadPool::StartThread() {
  try {
    threads_.emplace_back([this] { Run(); });
  } catch (const std::system_error&) {
    // The system has no more threads for us: those that run will do.
    if (threads_.empty()) throw;
    return;
  }
  pthread_setname_np(threads_.back().native_handle(), name_.c_str());
}

void ThreadPool::Run() {
  // On Linux a niceness is a thread's, and 0 the calling one (setpriority(2)). Nobody is refused a higher one.
  if (niceness_ != 0) setpriority(PRIO_PROCESS, 0, niceness_);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ++idle_;
    posted_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    --idle_;
    if (stopping_) return;
    {
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
    lock.lock();
  }
}

}  // namespace shoal
