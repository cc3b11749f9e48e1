#include "aio_library.h"

#include <dlfcn.h>

namespace shoal {

const std::vector<std::string> kAioLibraryNames{"libaio.so.1", "libaio.so.1t64"};

namespace {

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

std::optional<AioLibrary> LoadAioLibrary(const std::vector<std::string>& names, std::string* reason) {
  reason->clear();
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    AioLibrary found;
    if (library != nullptr && Find(library, "io_setup", &found.setup) && Find(library, "io_destroy", &found.destroy) &&
        Find(library, "io_submit", &found.submit) && Find(library, "io_getevents", &found.get_events)) {
      return found;
    }
    if (!reason->empty()) *reason += "; ";
    *reason += dlerror();
    if (library != nullptr) dlclose(library);
  }
  return std::nullopt;
}

}  // namespace shoal
