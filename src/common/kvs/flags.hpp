// The bits of "flags" in kvs.lookup, kvs-watch.lookup and the operations of kvs.commit, as clients send them.
#pragma once
#include <cstdint>

namespace flux::kvs::flag {

constexpr int readdir = 1;
constexpr int readlink = 2;
constexpr int watch = 4;
constexpr int waitcreate = 8;
constexpr int treeobj = 16;
constexpr int append = 32;
constexpr int watch_full = 64;
constexpr int watch_uniq = 128;
constexpr int watch_append = 256;
constexpr int stream = 512;
constexpr int initial_sentinel = 1024;

} // namespace flux::kvs::flag
