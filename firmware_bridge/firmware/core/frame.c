#include "frame.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the packed structs of protocol.h are little-endian");

uint32_t crc32_update(uint32_t crc, const uint8_t *data, size_t size) {
    /* CRC-32 of IEEE 802.3, four bits at a time: 64 bytes of table instead of a kilobyte. */
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

struct stuffer {
    uint8_t *out;
    size_t used;
    size_t code; /* where the length of the running block will stand */
};

static void stuff(struct stuffer *s, uint8_t byte) {
    if (byte != 0)
        s->out[s->used++] = byte;
    if (byte == 0 || s->used - s->code == 255) {
        s->out[s->code] = (uint8_t)(s->used - s->code);
        s->code = s->used++;
    }
}

size_t frame_encode(const uint8_t *body, size_t size, uint8_t *out) {
    uint32_t crc = crc32_update(0, body, size);
    struct stuffer s = {.out = out, .used = 1, .code = 0};
    for (size_t i = 0; i < size; i++)
        stuff(&s, body[i]);
    for (int i = 0; i < CRC_BYTES; i++)
        stuff(&s, (uint8_t)(crc >> (8 * i)));
    s.out[s.code] = (uint8_t)(s.used - s.code);
    s.out[s.used++] = 0;
    return s.used;
}

/* Unstuffs in place; returns the body's size, 0 for anything damaged. */
static size_t unstuff(uint8_t *buffer, size_t size) {
    size_t in = 0, out = 0;
    while (in < size) {
        size_t block = buffer[in++];
        if (block == 0 || block - 1 > size - in)
            return 0;
        memmove(buffer + out, buffer + in, block - 1);
        in += block - 1;
        out += block - 1;
        if (block != 255 && in < size)
            buffer[out++] = 0;
    }
    if (out <= CRC_BYTES)
        return 0;
    out -= CRC_BYTES;
    uint32_t crc;
    memcpy(&crc, buffer + out, CRC_BYTES);
    return crc == crc32_update(0, buffer, out) ? out : 0;
}

static void ended(struct frame_decoder *decoder, frame_handler *handler, void *context) {
    size_t size = decoder->overlong ? 0 : unstuff(decoder->buffer, decoder->used);
    bool pause = decoder->used == 0 && !decoder->overlong; /* two zero bytes in a row */
    decoder->used = 0;
    decoder->overlong = false;
    if (size > 0 && size <= MAX_BODY)
        handler(context, decoder->buffer, size);
    else if (!pause && decoder->joined)
        decoder->bad++;
    decoder->joined = true;
}

void frame_decode(struct frame_decoder *decoder, const uint8_t *data, size_t size, frame_handler *handler, void *context) {
    for (size_t i = 0; i < size; i++) {
        if (data[i] == 0)
            ended(decoder, handler, context);
        else if (decoder->used < MAX_ENCODED)
            decoder->buffer[decoder->used++] = data[i];
        else
            decoder->overlong = true;
    }
}
