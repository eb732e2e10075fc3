#include "cbor.h"

#include <string.h>

static bool read_head(const uint8_t **at, const uint8_t *end, uint8_t *major, uint64_t *value) {
    if (*at == end)
        return false;
    *major = **at >> 5;
    uint8_t detail = *(*at)++ & 31;
    *value = detail;
    if (detail < 24)
        return true;
    if (detail > 27)
        return false;
    size_t bytes = (size_t)1 << (detail - 24);
    if ((size_t)(end - *at) < bytes)
        return false;
    for (*value = 0; bytes > 0; bytes--)
        *value = *value << 8 | *(*at)++;
    return true;
}

static bool read_item(const uint8_t **at, const uint8_t *end, struct cbor_item *item) {
    uint8_t major;
    memset(item, 0, sizeof *item);
    if (!read_head(at, end, &major, &item->number))
        return false;
    item->kind = CBOR_OTHER;
    if (major == 0) {
        item->kind = CBOR_UINT;
    } else if (major == 2 || major == 3) {
        if (item->number > (uint64_t)(end - *at))
            return false;
        item->kind = major == 2 ? CBOR_BYTES : CBOR_TEXT;
        item->data = *at;
        item->size = (size_t)item->number;
        *at += item->size;
    } else if (major == 7 && (item->number == 20 || item->number == 21)) {
        item->kind = CBOR_BOOL;
        item->number -= 20;
    } else if (major != 1 && !(major == 7 && item->number == 22)) { /* a negative number or null is read and left */
        return false;
    }
    return true;
}

bool cbor_parse(struct cbor_in *in, const uint8_t *data, size_t size) {
    const uint8_t *at = data, *end = data + size;
    uint8_t major;
    uint64_t count;
    bool endless = size > 0 && data[0] == 0xbf;
    in->count = 0;
    if (endless)
        at++;
    else if (!read_head(&at, end, &major, &count) || major != 5 || count > CBOR_MAX_ITEMS)
        return false;
    while (endless ? at < end && *at != 0xff : in->count < count) {
        if (in->count == CBOR_MAX_ITEMS || !read_item(&at, end, &in->keys[in->count]) ||
            in->keys[in->count].kind != CBOR_TEXT || !read_item(&at, end, &in->values[in->count]))
            return false;
        in->count++;
    }
    return endless ? at < end && at + 1 == end : at == end;
}

bool cbor_find(const struct cbor_in *in, const char *key, struct cbor_item *item) {
    for (unsigned i = 0; i < in->count; i++) {
        if (in->keys[i].size == strlen(key) && memcmp(in->keys[i].data, key, in->keys[i].size) == 0) {
            *item = in->values[i];
            return true;
        }
    }
    return false;
}

static void put(struct cbor_out *out, const void *data, size_t size) {
    if (out->used <= out->room && size <= out->room - out->used && size > 0)
        memcpy(out->data + out->used, data, size);
    else if (size > 0)
        out->used = out->room; /* so that the next addition goes past it */
    out->used += size;
}

static void put_byte(struct cbor_out *out, uint8_t byte) {
    put(out, &byte, 1);
}

static void put_head(struct cbor_out *out, uint8_t major, uint64_t value) {
    if (value < 24) {
        put_byte(out, (uint8_t)(major << 5 | value));
        return;
    }
    int bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffffffff ? 4 : 8;
    put_byte(out, (uint8_t)(major << 5 | (bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27)));
    for (int i = bytes - 1; i >= 0; i--)
        put_byte(out, (uint8_t)(value >> (8 * i)));
}

static void put_key(struct cbor_out *out, const char *key) {
    put_head(out, 3, strlen(key));
    put(out, key, strlen(key));
}

void cbor_begin(struct cbor_out *out, uint8_t *data, size_t room) {
    out->data = data;
    out->room = room;
    out->used = 0;
    cbor_open_map(out);
}

size_t cbor_end(struct cbor_out *out) {
    cbor_close(out);
    return out->used <= out->room ? out->used : 0;
}

void cbor_open_map(struct cbor_out *out) {
    put_byte(out, 0xbf);
}

void cbor_open_array(struct cbor_out *out, const char *key) {
    put_key(out, key);
    put_byte(out, 0x9f);
}

void cbor_close(struct cbor_out *out) {
    put_byte(out, 0xff);
}

void cbor_put_uint(struct cbor_out *out, const char *key, uint64_t value) {
    put_key(out, key);
    put_head(out, 0, value);
}

void cbor_put_bool(struct cbor_out *out, const char *key, bool value) {
    put_key(out, key);
    put_byte(out, value ? 0xf5 : 0xf4);
}

void cbor_put_text(struct cbor_out *out, const char *key, const char *text) {
    cbor_put_text_size(out, key, (const uint8_t *)text, strlen(text));
}

void cbor_put_text_size(struct cbor_out *out, const char *key, const uint8_t *text, size_t size) {
    put_key(out, key);
    put_head(out, 3, size);
    put(out, text, size);
}

void cbor_put_bytes(struct cbor_out *out, const char *key, const uint8_t *data, size_t size) {
    put_key(out, key);
    put_head(out, 2, size);
    put(out, data, size);
}

void cbor_version(char out[16], unsigned major, unsigned minor, unsigned revision) {
    unsigned parts[3] = {major, minor, revision};
    for (int i = 0; i < 3; i++) {
        char digits[10];
        int count = 0;
        do
            digits[count++] = (char)('0' + parts[i] % 10);
        while ((parts[i] /= 10) > 0);
        while (count > 0)
            *out++ = digits[--count];
        *out++ = i < 2 ? '.' : '\0';
    }
}
