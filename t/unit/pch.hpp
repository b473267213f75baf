// Precompiled for every test.
#pragma once
#include "common/client/pch.hpp"

#include <gtest/gtest.h>
