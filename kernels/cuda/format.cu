/* format.cu: device-side descriptions of formats and blocks, from kern.h's. */
#include "gpu.h"

gpu_format gpu_format_of(const kern_kv_format *format, size_t n_kv_heads)
{
    gpu_format f;
    f.d = format->d;
    f.k_key = format->k_key;
    f.k_query = format->k_query;
    f.value_group = format->value_group;
    f.key_type = format->key_type;
    f.value_type = format->value_type;
    f.n_kv_heads = (int)n_kv_heads;
    f.unit_bytes = (int)kern_kv_unit_bytes(format);
    f.index_bytes = format->k_key == format->d ? 0 : format->k_key * KERN_UNIT_TOKENS;
    f.row_bytes = (int)kern_kv_value_row_bytes(format);
    f.n_scales = (int)kern_kv_value_n_scales(format);
    return f;
}

gpu_section gpu_section_of(const kern_kv_format *format, size_t n_kv_heads, const void *base, size_t n_tokens, size_t capacity)
{
    kern_kv_layout layout = kern_kv_layout_of(format, n_kv_heads, capacity);
    gpu_section s;
    s.base = (const uint8_t *)base;
    s.layer_stride = layout.total_bytes;
    s.key_head_bytes = layout.key_head_bytes;
    s.row_head_bytes = layout.row_head_bytes;
    s.scale_head_bytes = layout.scale_head_bytes;
    s.rows_offset = layout.rows_offset;
    s.scales_offset = layout.scales_offset;
    s.n_tokens = (uint32_t)n_tokens;
    s.capacity = (uint32_t)capacity;
    return s;
}
