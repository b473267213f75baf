// The broker's heap is jemalloc: half of a busy broker's time went into the system's malloc. Linked into the
// executable, so that the modules and libraries use it as well.
//
// Two arenas: one thread does nearly all the work. Freed memory goes back to the system after a second: a broker lives
// long and mostly rests.
extern "C" const char *malloc_conf;
const char *malloc_conf = "narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0";
