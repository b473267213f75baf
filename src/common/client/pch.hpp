// Precompiled for every target above src/common: the standard headers, and those of ours that nearly all include.
#pragma once
#include "common/base/pch.hpp"
#include "common/client/session.hpp"
#include "common/types/idset.hpp"
