// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
// A C++ library for a C program's dlopen(): libstdc++ comes with it, and is not
// where the preloaded malloc's own search for the next operator new looks.
#include <cstddef>
#include <new>
#include <string>

extern "C" int plugin_catches()
{
	static volatile std::size_t absurd = std::size_t(1) << 50;
	std::string text(1000, 'p');
	try {
		::operator delete(::operator new(absurd));
	} catch (const std::bad_alloc &) {
		return int(text.size());
	}
	return -1;
}
