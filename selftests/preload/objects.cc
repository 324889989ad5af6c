// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
// What C++ programs do with memory: every form of new and delete, containers,
// exceptions, and objects that end their lives on another thread.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <new>
#include <numeric>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static int number, failed;

static void result(const char *name, bool good)
{
	std::printf("%sok %d %s\n", good ? "" : "not ", ++number, name);
	failed += !good;
}

struct alignas(256) Wide {
	char data[300];
	Wide() { std::fill(std::begin(data), std::end(data), 'w'); }
};

static bool aligned(const void *p, std::size_t to) { return reinterpret_cast<std::uintptr_t>(p) % to == 0; }

// A call that the compiler does not elide.
template <typename T> static T *seen(T *p)
{
	asm volatile("" : "+r"(p) : : "memory");
	return p;
}

static bool all_forms()
{
	bool good = true;
	for (std::size_t size : {0, 1, 16, 100, 1000, 5000, 40000, 300000, 5000000}) {
		void *p = seen(::operator new(size));
		good &= p && aligned(p, 16);
		::operator delete(p);
		p = seen(::operator new(size));
		::operator delete(p, size);
		p = seen(::operator new[](size));
		::operator delete[](p);
		p = seen(::operator new[](size));
		::operator delete[](p, size);
		p = seen(::operator new(size, std::nothrow));
		good &= p != nullptr;
		::operator delete(p, std::nothrow);
		p = seen(::operator new[](size, std::nothrow));
		good &= p != nullptr;
		::operator delete[](p, std::nothrow);
		for (std::size_t align = 16; align <= 65536; align *= 4) {
			auto to = std::align_val_t(align);
			p = seen(::operator new(size, to));
			good &= p && aligned(p, align);
			::operator delete(p, to);
			p = seen(::operator new(size, to));
			::operator delete(p, size, to);
			p = seen(::operator new[](size, to));
			good &= p && aligned(p, align);
			::operator delete[](p, to);
			p = seen(::operator new[](size, to));
			::operator delete[](p, size, to);
			p = seen(::operator new(size, to, std::nothrow));
			good &= p && aligned(p, align);
			::operator delete(p, to, std::nothrow);
			p = seen(::operator new[](size, to, std::nothrow));
			good &= p && aligned(p, align);
			::operator delete[](p, to, std::nothrow);
		}
	}
	::operator delete(nullptr);
	return good;
}

static bool over_aligned_types()
{
	auto one = std::make_unique<Wide>();
	auto many = std::make_unique<Wide[]>(100);
	std::vector<Wide> grown;
	for (int i = 0; i < 1000; i++)
		grown.emplace_back();
	return aligned(one.get(), 256) && aligned(many.get(), 256) && aligned(grown.data(), 256) &&
	       std::all_of(grown.begin(), grown.end(), [](const Wide &w) { return w.data[299] == 'w'; });
}

static std::size_t absurd(int which)
{
	static volatile std::size_t sizes[] = {std::size_t(PTRDIFF_MAX) - 4096, std::size_t(PTRDIFF_MAX) + 1, std::size_t(1) << 50};
	return sizes[which];
}

static int handled;

static bool bad_alloc()
{
	int caught = 0;
	for (int i = 0; i < 3; i++) {
		try {
			::operator delete(seen(::operator new(absurd(i))));
		} catch (const std::bad_alloc &) {
			caught++;
		}
		try {
			::operator delete[](seen(::operator new[](absurd(i))));
		} catch (const std::bad_alloc &) {
			caught++;
		}
		try {
			auto to = std::align_val_t(4096);
			::operator delete(seen(::operator new(absurd(i), to)), to);
		} catch (const std::bad_alloc &) {
			caught++;
		}
		caught += !seen(::operator new(absurd(i), std::nothrow));
		caught += !seen(::operator new[](absurd(i), std::nothrow));
		caught += !seen(::operator new(absurd(i), std::align_val_t(64), std::nothrow));
	}
	// Three calls of the handler, which then gives up.
	std::set_new_handler([] {
		if (++handled == 3)
			std::set_new_handler(nullptr);
	});
	try {
		::operator delete(seen(::operator new(absurd(1))));
	} catch (const std::bad_alloc &) {
		caught++;
	}
	try {
		std::vector<int> v;
		v.resize(std::size_t(1) << 48);
	} catch (const std::bad_alloc &) {
		caught++;
	}
	return caught == 20 && handled == 3;
}

// The nothrow forms run the handler as well (they are to behave as the throwing ones).
static bool nothrow_runs_handler()
{
	handled = 0;
	std::set_new_handler([] {
		if (++handled == 2)
			std::set_new_handler(nullptr);
	});
	bool null = !seen(::operator new(absurd(1), std::nothrow));
	std::set_new_handler(nullptr);
	return null && handled == 2;
}

static bool containers()
{
	std::mt19937_64 random(20260101);
	std::map<std::string, std::vector<std::uint64_t>> ordered;
	std::unordered_map<std::uint64_t, std::string> hashed;
	std::list<std::deque<int>> lists;
	std::set<std::string, std::less<>> names;
	std::uint64_t sum = 0, expected = 0;

	for (int i = 0; i < 60000; i++) {
		std::uint64_t r = random();
		ordered[std::to_string(r % 5000)].push_back(r);
		expected += r;
		hashed[r % 7000] += std::string(r % 50, char('a' + i % 26));
		if (i % 10 == 0)
			lists.emplace_back(r % 600, i);
		if (i % 25 == 0 && lists.size() > 5)
			lists.pop_front();
		names.insert(std::string(r % 200, 'n'));
		if (i % 3 == 0)
			hashed.erase((r >> 32) % 7000);
	}
	for (const auto &[key, list] : ordered)
		for (std::uint64_t r : list) {
			sum += r;
			if (std::to_string(r % 5000) != key)
				return false;
		}
	return sum == expected && names.size() == 200;
}

static bool exceptions()
{
	int caught = 0;
	std::function<void(int)> deep = [&](int depth) {
		std::string local(std::size_t(depth) * 10, 'd');
		std::vector<std::unique_ptr<int>> held;
		for (int i = 0; i < depth; i++)
			held.push_back(std::make_unique<int>(i));
		if (depth == 60)
			throw std::runtime_error(local);
		try {
			deep(depth + 1);
		} catch (const std::exception &e) {
			caught += std::string(e.what()).size() == 600;
			throw;
		}
	};
	for (int i = 0; i < 50; i++) {
		try {
			deep(0);
		} catch (const std::runtime_error &) {
			caught++;
		}
	}
	return caught == 50 * 61;
}

struct Message {
	std::uint64_t seed;
	std::vector<std::uint64_t> body;
	std::string text;
	explicit Message(std::uint64_t s) : seed(s), body(s % 300, s), text(std::to_string(s) + std::string(s % 900, 'm')) {}
	bool whole() const
	{
		return body == std::vector<std::uint64_t>(seed % 300, seed) &&
		       text == std::to_string(seed) + std::string(seed % 900, 'm');
	}
};

// A ring of threads: what one makes the next one keeps for a while and the third frees.
static bool handing_over()
{
	constexpr int threads = 4, messages = 15000;
	struct Box {
		std::mutex lock;
		std::condition_variable filled;
		std::queue<std::unique_ptr<Message>> queue;
	};
	std::vector<Box> boxes(threads);
	std::atomic<int> good{0};
	std::vector<std::thread> pool;
	auto put = [&](int to, std::unique_ptr<Message> m) {
		std::lock_guard<std::mutex> guard(boxes[std::size_t(to)].lock);
		boxes[std::size_t(to)].queue.push(std::move(m));
		boxes[std::size_t(to)].filled.notify_one();
	};
	for (int me = 0; me < threads; me++)
		pool.emplace_back([&, me] {
			std::deque<std::unique_ptr<Message>> kept;
			for (int i = 0; i < messages; i++) {
				put((me + 1) % threads, std::make_unique<Message>(std::uint64_t(me) * 1000003 + std::uint64_t(i)));
				std::unique_lock<std::mutex> guard(boxes[std::size_t(me)].lock);
				boxes[std::size_t(me)].filled.wait(guard, [&] { return !boxes[std::size_t(me)].queue.empty(); });
				kept.push_back(std::move(boxes[std::size_t(me)].queue.front()));
				boxes[std::size_t(me)].queue.pop();
				guard.unlock();
				if (kept.size() > 100) {
					good += kept.front()->whole();
					kept.pop_front();
				}
			}
			for (const auto &m : kept)
				good += m->whole();
		});
	for (auto &thread : pool)
		thread.join();
	return good == threads * messages;
}

static bool asynchronous()
{
	std::vector<std::future<std::shared_ptr<std::string>>> futures;
	std::size_t sum = 0;
	for (std::size_t i = 0; i < 200; i++)
		futures.push_back(std::async(std::launch::async, [i] {
			std::vector<std::string> parts(i % 50 + 1, std::string(100, 'x'));
			return std::make_shared<std::string>(std::accumulate(parts.begin(), parts.end(), std::string()));
		}));
	for (auto &future : futures)
		sum += future.get()->size();
	std::size_t expected = 0;
	for (std::size_t i = 0; i < 200; i++)
		expected += (i % 50 + 1) * 100;
	return sum == expected;
}

struct Late {
	std::vector<std::string> strings;
	~Late()
	{
		for (int i = 0; i < 100; i++)
			strings.emplace_back(std::size_t(i) * 20, 'l');
	}
};

static thread_local Late late;
static Late at_exit;

static bool thread_locals()
{
	for (int i = 0; i < 100; i++)
		std::thread([] { late.strings.emplace_back(1000, 't'); }).join();
	at_exit.strings.emplace_back(5000, 'e');
	return true;
}

static bool memory_resources()
{
	std::pmr::synchronized_pool_resource pool;
	std::pmr::monotonic_buffer_resource arena(&pool);
	std::pmr::map<int, std::pmr::string> table(&arena);
	for (int i = 0; i < 20000; i++)
		table[i % 3000] = std::pmr::string(std::size_t(i % 100), 'p', &pool);
	return table.size() == 3000 && table[99].size() == std::size_t(18099 % 100);
}

int main()
{
	result("all forms of new and delete", all_forms());
	result("over-aligned types", over_aligned_types());
	result("bad_alloc", bad_alloc());
	result("nothrow runs the new-handler", nothrow_runs_handler());
	result("containers", containers());
	result("exceptions", exceptions());
	result("objects handed to other threads", handing_over());
	result("std::async", asynchronous());
	result("thread-local destructors", thread_locals());
	result("memory resources", memory_resources());
	return failed != 0;
}
