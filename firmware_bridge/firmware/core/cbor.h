/* As much CBOR (RFC 8949) as SMP needs: reading a flat map, writing maps and arrays. */
#ifndef CBOR_H
#define CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CBOR_MAX_ITEMS 8

enum cbor_kind { CBOR_UINT, CBOR_BYTES, CBOR_TEXT, CBOR_BOOL, CBOR_OTHER };

struct cbor_item {
    enum cbor_kind kind;
    uint64_t number; /* of a CBOR_UINT or CBOR_BOOL */
    const uint8_t *data;
    size_t size;
};

struct cbor_in {
    struct cbor_item keys[CBOR_MAX_ITEMS], values[CBOR_MAX_ITEMS];
    unsigned count;
};

/* A map of text keys to plain values, of which at most CBOR_MAX_ITEMS; false for anything else. Points into data. */
bool cbor_parse(struct cbor_in *in, const uint8_t *data, size_t size);
bool cbor_find(const struct cbor_in *in, const char *key, struct cbor_item *item);

struct cbor_out {
    uint8_t *data;
    size_t room, used; /* used > room: it did not fit */
};

void cbor_begin(struct cbor_out *out, uint8_t *data, size_t room);
size_t cbor_end(struct cbor_out *out); /* the size, 0 if it did not fit */
void cbor_open_map(struct cbor_out *out);
void cbor_open_array(struct cbor_out *out, const char *key);
void cbor_close(struct cbor_out *out);
void cbor_put_uint(struct cbor_out *out, const char *key, uint64_t value);
void cbor_put_bool(struct cbor_out *out, const char *key, bool value);
void cbor_put_text(struct cbor_out *out, const char *key, const char *text);
void cbor_put_text_size(struct cbor_out *out, const char *key, const uint8_t *text, size_t size);
void cbor_put_bytes(struct cbor_out *out, const char *key, const uint8_t *data, size_t size);
void cbor_version(char out[16], unsigned major, unsigned minor, unsigned revision); /* "1.2.3" */

#endif
