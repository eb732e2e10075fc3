/* Frames on a byte stream: COBS(body + CRC-32), zero byte. Bodies are opaque. */
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

#define CRC_BYTES 4
#define MAX_ENCODED (MAX_BODY + CRC_BYTES + (MAX_BODY + CRC_BYTES + 253) / 254)
#define MAX_WIRE (MAX_ENCODED + 1)

struct frame_decoder {
    uint8_t buffer[MAX_ENCODED];
    uint16_t used;
    bool overlong; /* the frame under way is too long: skip to its end */
    bool joined;   /* a frame has ended: before that we may have come in the middle of one, which is no damage */
    uint32_t bad;  /* damaged, too short or too long, dropped */
};

typedef void frame_handler(void *context, uint8_t *body, size_t size);

uint32_t crc32_update(uint32_t crc, const uint8_t *data, size_t size); /* starts with 0 */

/* Writes one frame to out (at least MAX_WIRE bytes) and returns its size. body holds 1 to MAX_BODY bytes. */
size_t frame_encode(const uint8_t *body, size_t size, uint8_t *out);

/* Takes the stream in any chunking; the handler gets each intact body, in a buffer it may write to. */
void frame_decode(struct frame_decoder *decoder, const uint8_t *data, size_t size, frame_handler *handler, void *context);

#endif
