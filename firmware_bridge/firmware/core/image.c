#include "image.h"

#include <string.h>

#include "monocypher.h"
#include "signing_key.h" /* made by the build: SIGNING_PUBLIC_KEY */

static const uint8_t PUBLIC_KEY[32] = SIGNING_PUBLIC_KEY;

struct tlv {
    uint16_t type, size;
};

/* Copies the one entry of a type and of exactly that size out of the trailer. */
static bool find(const uint8_t *trailer, uint32_t size, uint16_t type, uint8_t *out, uint16_t out_size) {
    struct tlv entry;
    uint32_t at = sizeof entry;
    while (at + sizeof entry <= size) {
        memcpy(&entry, trailer + at, sizeof entry);
        at += sizeof entry;
        if (entry.size > size - at)
            return false;
        if (entry.type == type && entry.size == out_size) {
            memcpy(out, trailer + at, out_size);
            return true;
        }
        at += entry.size;
    }
    return false;
}

bool image_read(const uint8_t *slot, uint32_t slot_size, struct image *image) {
    struct image_header *header = &image->header;
    struct tlv info;
    uint8_t hash[IMAGE_HASH_BYTES], signature[64];
    memcpy(header, slot, sizeof *header);
    if (header->magic != IMAGE_MAGIC || header->header_size != IMAGE_HEADER_BYTES || header->protected_size != 0)
        return false;
    if (header->body_size > slot_size - IMAGE_HEADER_BYTES - sizeof info)
        return false;
    uint32_t signed_size = IMAGE_HEADER_BYTES + header->body_size;
    memcpy(&info, slot + signed_size, sizeof info);
    if (info.type != IMAGE_TRAILER_MAGIC || info.size > slot_size - signed_size)
        return false;
    if (!find(slot + signed_size, info.size, IMAGE_TLV_HASH, image->hash, IMAGE_HASH_BYTES) ||
        !find(slot + signed_size, info.size, IMAGE_TLV_SIGNATURE, signature, sizeof signature))
        return false;
    crypto_blake2b(hash, sizeof hash, slot, signed_size);
    return crypto_verify32(hash, image->hash) == 0 && crypto_eddsa_check(signature, PUBLIC_KEY, hash, sizeof hash) == 0;
}
