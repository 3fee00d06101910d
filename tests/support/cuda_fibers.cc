/* cuda_fibers.cc - runs the blocks of a kernel: fibers, barriers, meetings of a warp's lanes. */
#include "worker/nn/cuda/device.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <sys/mman.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define THREADS_MAX 1024u
#define STACK_BYTES ((size_t)256 << 10) /* with a page below it that may not be touched */
#define PAGE_BYTES  ((size_t)4096)

/* Puts the callee-saved registers on the stack, keeps its top in *from and goes on at `to`. */
extern "C" void fibers_switch(void **from, void *to);
#if defined(__x86_64__)
asm(".text\n.globl fibers_switch\n.hidden fibers_switch\n.type fibers_switch,@function\n"
    "fibers_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\n"
    "ret\n.size fibers_switch,.-fibers_switch\n");
#elif defined(__aarch64__)
asm(".text\n.globl fibers_switch\n.hidden fibers_switch\n.type fibers_switch,%function\n"
    "fibers_switch:\n"
    "sub sp,sp,#160\n"
    "stp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\nstp x25,x26,[sp,#48]\n"
    "stp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\n"
    "stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\nstp d14,d15,[sp,#144]\n"
    "mov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
    "ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\nldp x25,x26,[sp,#48]\n"
    "ldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
    "ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\nldp d14,d15,[sp,#144]\n"
    "add sp,sp,#160\nret\n.size fibers_switch,.-fibers_switch\n");
#else
#error "fibers are written for x86-64 and arm64"
#endif

enum fiber_state { FIBER_ENDED, FIBER_RUNS, FIBER_AT_BARRIER, FIBER_MEETS };

struct fiber {
    void *top; /* of its stack, where it went on to another */
    char *stack;
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
    fiber_state state;
    uint3 index;
    unsigned number;
    /* A meeting that it waits in. */
    const char *what;
    uint32_t mask;
    void (*act)(void *const *of_lane);
    void *own;
};

struct shared_block {
    const void *place;
    size_t bytes;
    void *data;
};

static fiber fibers[THREADS_MAX];
static fiber host; /* what launched the kernel */
static fiber *now = &host, *before;
static unsigned started, threads, alive, at_barrier;
static bool is_reverse;
static const char *kernel_name = "none";
static void (*kernel_body)(const void *);
static const void *kernel_argument;
static std::vector<shared_block> shared_blocks;
static std::mutex lock; /* of all this: blocks run one after the other */

const uint3 *fibers_thread_index;
uint3 fibers_block_index;
dim3 fibers_block_size, fibers_grid_size;

void fibers_abort(const char *fmt, ...)
{
    va_list arguments;
    fprintf(stderr, "cuda_fibers: kernel %s, block (%u, %u, %u), thread %u: ", kernel_name,
            fibers_block_index.x, fibers_block_index.y, fibers_block_index.z, now->number);
    va_start(arguments, fmt);
    vfprintf(stderr, fmt, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    abort();
}

/* The first thing on a new stack and the first after any switch. */
static void arrive(fiber *self)
{
    now = self;
    fibers_thread_index = &self->index;
#ifdef HAS_ASAN
    const void *bottom = nullptr;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(self->fake_stack, &bottom, &bytes);
    if (before == &host) { /* only it has a stack that we did not make */
        host.stack = const_cast<char *>(static_cast<const char *>(bottom));
        host.stack_bytes = bytes;
    }
#endif
}

static void go_to(fiber *next)
{
    fiber *const self = now;
    if (next == self) return;
    before = self;
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(&self->fake_stack, next->stack, next->stack_bytes);
#endif
    now = next;
    fibers_switch(&self->top, next->top);
    arrive(self);
}

[[noreturn]] static void stuck()
{
    const fiber *waiting[2] = {nullptr, nullptr};
    for (unsigned i = 0; i < threads; i++) {
        const fiber *f = &fibers[i];
        if (f->state == FIBER_AT_BARRIER && !waiting[0]) waiting[0] = f;
        if (f->state == FIBER_MEETS && !waiting[1]) waiting[1] = f;
    }
    if (!waiting[1]) fibers_abort("no thread can go on");
    if (waiting[0])
        fibers_abort("thread %u waits in __syncthreads, but thread %u in %s (mask %08x)",
                     waiting[0]->number, waiting[1]->number, waiting[1]->what, waiting[1]->mask);
    fibers_abort("thread %u waits in %s (mask %08x) for lanes that do not come", waiting[1]->number,
                 waiting[1]->what, waiting[1]->mask);
}

/* To the next thread in order that can run, the one after this first. */
static void go_on()
{
    unsigned at = now->number;
    for (unsigned i = 0; i < threads; i++) {
        at = is_reverse ? (at ? at - 1 : threads - 1) : (at + 1 < threads ? at + 1 : 0);
        if (fibers[at].state == FIBER_RUNS) return go_to(&fibers[at]);
    }
    if (alive) stuck();
    go_to(&host);
}

static void open_barrier()
{
    at_barrier = 0;
    for (unsigned i = 0; i < threads; i++)
        if (fibers[i].state == FIBER_AT_BARRIER) fibers[i].state = FIBER_RUNS;
}

/* The first in order of threads [first, first + count) that can run. */
static fiber *first_of(unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fiber *f = &fibers[is_reverse ? first + count - 1 - i : first + i];
        if (f->state == FIBER_RUNS) return f;
    }
    return nullptr;
}

void fibers_barrier()
{
    if (now == &host) fibers_abort("__syncthreads outside a kernel");
    now->state = FIBER_AT_BARRIER;
    if (++at_barrier < alive) return go_on();
    open_barrier();
    go_to(first_of(0, threads));
}

/* Whether all who are named in the mask and have not ended wait for the same. */
static bool is_complete(const fiber *one, unsigned first)
{
    for (unsigned lane = 0; lane < WARP_LANES && first + lane < threads; lane++) {
        const fiber *f = &fibers[first + lane];
        if (!(one->mask >> lane & 1u) || f->state == FIBER_ENDED) continue;
        if (f->state != FIBER_MEETS || f->mask != one->mask || f->act != one->act) return false;
    }
    return true;
}

static void hold_meeting(const fiber *one, unsigned first)
{
    void *of_lane[WARP_LANES] = {nullptr};
    const uint32_t mask = one->mask;
    for (unsigned lane = 0; lane < WARP_LANES && first + lane < threads; lane++) {
        fiber *f = &fibers[first + lane];
        if (!(mask >> lane & 1u) || f->state == FIBER_ENDED) continue;
        of_lane[lane] = f->own;
        f->state = FIBER_RUNS;
    }
    one->act(of_lane);
}

unsigned fibers_number()
{
    return now->number;
}

unsigned fibers_lane()
{
    return now->number % WARP_LANES;
}

bool fibers_are_reverse()
{
    return is_reverse;
}

void fibers_meet(const char *what, uint32_t mask, void (*act)(void *const *of_lane), void *own)
{
    const unsigned first = now->number - fibers_lane();
    if (now == &host) fibers_abort("%s outside a kernel", what);
    if (!(mask >> fibers_lane() & 1u))
        fibers_abort("%s with mask %08x, which lacks the lane itself", what, mask);
    now->what = what;
    now->mask = mask;
    now->act = act;
    now->own = own;
    now->state = FIBER_MEETS;
    if (!is_complete(now, first)) return go_on();
    hold_meeting(now, first);
    go_to(first_of(first, threads - first < WARP_LANES ? threads - first : WARP_LANES));
}

/* A thread that ends is not waited for any more. */
static void end_thread()
{
    const unsigned first = now->number - fibers_lane();
    fibers_copies_end();
    now->state = FIBER_ENDED;
    alive--;
    if (alive && at_barrier == alive) open_barrier();
    for (unsigned lane = 0; lane < WARP_LANES && first + lane < threads; lane++) {
        const fiber *f = &fibers[first + lane];
        if (f->state == FIBER_MEETS && is_complete(f, first)) hold_meeting(f, first);
    }
    go_on();
}

/* A fiber's stack serves the thread of its number in every block. */
[[noreturn]] static void live()
{
    arrive(now);
    for (;;) {
        kernel_body(kernel_argument);
        end_thread();
    }
}

static void start(fiber *f, unsigned number)
{
    void *memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, PAGE_BYTES, PROT_NONE))
        fibers_abort("no memory for the stack of thread %u", number);
    f->number = number;
    f->stack = static_cast<char *>(memory) + PAGE_BYTES;
    f->stack_bytes = STACK_BYTES - PAGE_BYTES;
    void **top = reinterpret_cast<void **>(static_cast<char *>(memory) + STACK_BYTES);
#if defined(__x86_64__)
    top -= 2;
    *top = reinterpret_cast<void *>(live); /* where fibers_switch returns to */
    top -= 6;
#else
    top -= 20;
    top[11] = reinterpret_cast<void *>(live); /* x30 */
#endif
    f->top = top;
}

static void run_block(size_t shared_bytes)
{
    const dim3 &size = fibers_block_size;
    for (unsigned i = 0; i < threads; i++) {
        fibers[i].index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        fibers[i].state = FIBER_RUNS;
    }
    alive = threads;
    at_barrier = 0;
    if (shared_bytes) (void)fibers_shared(&shared_blocks, shared_bytes);
    go_to(first_of(0, threads));
    for (const shared_block &block : shared_blocks) free(block.data);
    shared_blocks.clear();
}

void fibers_run(const char *name, const dim3 &grid, const dim3 &block, size_t shared_bytes,
                void (*body)(const void *), const void *argument)
{
    const std::lock_guard<std::mutex> held(lock);
    const char *order = getenv("CUDA_EMULATED_ORDER");
    const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
    is_reverse = order && !strcmp(order, "reverse");
    kernel_name = name;
    kernel_body = body;
    kernel_argument = argument;
    fibers_block_size = block;
    fibers_grid_size = grid;
    threads = block.x * block.y * block.z;
    for (; started < threads; started++) start(&fibers[started], started);
    for (uint64_t i = 0; i < blocks; i++) {
        const uint64_t at = is_reverse ? blocks - 1 - i : i;
        fibers_block_index = {static_cast<unsigned>(at % grid.x),
                              static_cast<unsigned>(at / grid.x % grid.y),
                              static_cast<unsigned>(at / grid.x / grid.y)};
        run_block(shared_bytes);
    }
}

void *fibers_shared(const void *place, size_t bytes)
{
    void *data = nullptr;
    for (const shared_block &block : shared_blocks)
        if (block.place == place && block.bytes == bytes) return block.data;
    if (posix_memalign(&data, 16, bytes)) fibers_abort("no memory for %zu shared bytes", bytes);
    memset(data, 0xff, bytes); /* NaN in every type */
    shared_blocks.push_back({place, bytes, data});
    return data;
}

void *fibers_shared_all()
{
    for (const shared_block &block : shared_blocks)
        if (block.place == &shared_blocks) return block.data;
    fibers_abort("SHARED_ALL in a kernel that was launched with 0 bytes");
}

int fibers_source(char kind, int argument, int width)
{
    const int lane = static_cast<int>(fibers_lane()), first = lane - lane % width;
    if (width < 1 || width > 32 || (width & (width - 1)))
        fibers_abort("a shuffle of width %d", width);
    int from = lane;
    if (kind == 'i') from = first + (argument & (width - 1));
    if (kind == 'x') from = lane ^ argument;
    if (kind == 'd') from = lane + argument;
    if (kind == 'u') from = lane - argument;
    /* Beyond its lanes, a lane keeps its own number; xor may read the lanes before. */
    return from < first && kind != 'x' ? lane : from >= first + width ? lane : from;
}

void fibers_do_shuffle(void *const *of_lane)
{
    for (unsigned lane = 0; lane < WARP_LANES; lane++) {
        fibers_shuffle *own = static_cast<fibers_shuffle *>(of_lane[lane]);
        if (!own) continue;
        const void *from = own->from < 0 ? nullptr : of_lane[own->from];
        own->result = from ? static_cast<const fibers_shuffle *>(from)->bits : UINT64_MAX;
    }
}

struct vote {
    bool predicate;
    uint32_t result;
};

static void do_vote(void *const *of_lane)
{
    uint32_t votes = 0;
    for (unsigned lane = 0; lane < WARP_LANES; lane++)
        if (of_lane[lane] && static_cast<vote *>(of_lane[lane])->predicate) votes |= 1u << lane;
    for (unsigned lane = 0; lane < WARP_LANES; lane++)
        if (of_lane[lane]) static_cast<vote *>(of_lane[lane])->result = votes;
}

static void do_not_vote(void *const *of_lane) /* for all: who says no */
{
    do_vote(of_lane);
}

static void do_any(void *const *of_lane)
{
    do_vote(of_lane);
}

uint32_t __ballot_sync(uint32_t mask, int predicate)
{
    vote own = {predicate != 0, 0};
    fibers_meet("__ballot_sync", mask, do_vote, &own);
    return own.result;
}

int __any_sync(uint32_t mask, int predicate)
{
    vote own = {predicate != 0, 0};
    fibers_meet("__any_sync", mask, do_any, &own);
    return own.result != 0;
}

int __all_sync(uint32_t mask, int predicate)
{
    vote own = {predicate == 0, 0};
    fibers_meet("__all_sync", mask, do_not_vote, &own);
    return own.result == 0;
}
