/* sm90.cuh: Hopper's barriers that count bytes, bulk copies, clusters: what flash-sm90.cu and decode-sm90.cu share.
 *
 * Owns: their instructions, and whether this compilation has them (KERN_SM90). Does not own: the products' instructions (flash-sm90.cu).
 */
#ifndef KERN_CUDA_SM90_CUH
#define KERN_CUDA_SM90_CUH

#include <stdint.h>

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) && __CUDACC_VER_MAJOR__ >= 12
#define KERN_SM90 1
__device__ __forceinline__ void barrier_init(uint32_t bar, int n)
{
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(bar), "r"(n) : "memory");
}
__device__ __forceinline__ void barrier_expect(uint32_t bar, int n_bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(bar), "r"(n_bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(bar) : "memory");
}
__device__ __forceinline__ void barrier_wait(uint32_t bar, uint32_t parity)
{
    asm volatile("{\n.reg .pred done;\nwait:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@done bra.uni end;\nbra.uni wait;\nend:\n}"
                 ::"r"(bar), "r"(parity) : "memory");
}
/* Whether the phase is over: asked ahead of barrier_wait, which mostly need not be asked then. */
__device__ __forceinline__ bool barrier_over(uint32_t bar, uint32_t parity)
{
    uint32_t over;
    asm volatile("{\n.reg .pred over;\nmbarrier.test_wait.parity.shared.b64 over, [%1], %2;\nselp.u32 %0, 1, 0, over;\n}"
                 : "=r"(over) : "r"(bar), "r"(parity) : "memory");
    return over;
}
/* For who waits long: asking again and again takes issue slots, and power, from the warps beside. */
__device__ __forceinline__ void barrier_wait_long(uint32_t bar, uint32_t parity)
{
    asm volatile("{\n.reg .pred done;\nwait:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@done bra.uni end;\nnanosleep.u32 250;\nbra.uni wait;\nend:\n}"
                 ::"r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void bulk_copy(uint32_t to, const void *from, int n_bytes, uint32_t bar)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(n_bytes),
                 "r"(bar)
                 : "memory");
}
/* The same for bytes that are read once a pass: the second-level cache gives them up first, and keeps what the next kernels read. */
__device__ __forceinline__ void bulk_copy_once(uint32_t to, const void *from, int n_bytes, uint32_t bar)
{
    uint64_t policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to), "l"(from),
                 "r"(n_bytes), "r"(bar), "l"(policy)
                 : "memory");
}
/* To the same place in both thread blocks of the cluster, each of whose barriers counts the bytes. */
__device__ __forceinline__ void bulk_copy_to_both(uint32_t to, const void *from, int n_bytes, uint32_t bar)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(to), "l"(from),
                 "r"(n_bytes), "r"(bar), "h"((uint16_t)3)
                 : "memory");
}
/* The address, in the cluster, of the same place in another thread block's shared memory. */
__device__ __forceinline__ uint32_t address_at(uint32_t address, uint32_t rank)
{
    uint32_t there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}
/* bar: an address in the cluster. */
__device__ __forceinline__ void barrier_arrive_at(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(bar) : "memory");
}
__device__ __forceinline__ uint32_t cluster_rank(void)
{
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
__device__ __forceinline__ void cluster_sync(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
#endif

#endif
