{
  'targets': [
    {
      'target_name': 'shoal',
      'sources': [
        'native/addon.cc',
        'native/aio_engine.cc',
        'native/aio_library.cc',
        'native/arena.cc',
        'native/arena_binding.cc',
        'native/block_device.cc',
        'native/block_device_binding.cc',
        'native/checksum_binding.cc',
        'native/completions.cc',
        'native/crc32c.cc',
        'native/glibc/single_threaded.cc',
        'native/io_engine.cc',
        'native/pool_engine.cc',
        'native/sha256.cc',
        'native/sha256_stream.cc',
        'native/slab_file.cc',
        'native/socket_binding.cc',
        'native/thread_pool.cc',
      ],
      'defines': [
        'NAPI_VERSION=8',
        # Exceptions of the standard library become JavaScript's too.
        'NODE_ADDON_API_CPP_EXCEPTIONS_ALL',
        # A worker that is being terminated takes no exception: it is dropped instead of ending the process.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      'cflags_cc': [
        '-std=c++17', '-O3', '-fexceptions', '-fno-rtti', '-fvisibility=hidden', '-pthread',
        '-ffunction-sections', '-fdata-sections',
        # Our warnings are not meant for the headers of others.
        '-isystem<(module_root_dir)/node_modules/node-api-headers/include',
        '-isystem<(module_root_dir)/node_modules/node-addon-api',
        '-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Werror',
      ],
      # nodelete: a worker that ends closes the library, whose threads live on.
      # The C++ library is linked in, and none of it shows: an old node's libstdc++ does, and Node's own isn't touched.
      'ldflags': [
        '-pthread', '-Wl,-z,nodelete', '-Wl,-z,relro,-z,now',
        '-static-libstdc++', '-Wl,--gc-sections', '-Wl,--version-script=<(module_root_dir)/native/glibc/exports.map',
      ],
      # See native/glibc/README.md. Before the real libc, which comes at the end.
      'libraries': [
        '<(module_root_dir)/build/glibc/libdl.so.2',
        '<(module_root_dir)/build/glibc/libpthread.so.0',
      ],
    },
  ],
}
