// The subcommands of flux kvs, by file.
#pragma once
#include "cmd/command.hpp"

namespace flux::cmd {

extern const Command kvs_get, kvs_dir, kvs_ls, kvs_readlink;                       // kvs_read.cpp
extern const Command kvs_put, kvs_unlink, kvs_link, kvs_mkdir, kvs_copy, kvs_move; // kvs_write.cpp
extern const Command kvs_version, kvs_wait, kvs_getroot, kvs_sync, kvs_namespace;  // kvs.cpp
extern const Command kvs_eventlog;                                                 // kvs_eventlog.cpp

} // namespace flux::cmd
