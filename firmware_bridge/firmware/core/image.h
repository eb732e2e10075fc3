/* A firmware image in a slot: MCUboot's header and trailer, with BLAKE2b-256 and EdDSA (Monocypher) in its vendor range.
 * tests and tools write it with firmware_bridge/image.py. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_MAGIC 0x96f3b83d
#define IMAGE_TRAILER_MAGIC 0x6907
#define IMAGE_HEADER_BYTES 32
#define IMAGE_TLV_HASH 0xa0 /* BLAKE2b-256 of header and body */
#define IMAGE_TLV_SIGNATURE 0xa1 /* EdDSA with BLAKE2b of that hash */
#define IMAGE_HASH_BYTES 32

struct image_header {
    uint32_t magic;
    uint32_t load_address;
    uint16_t header_size;
    uint16_t protected_size;
    uint32_t body_size;
    uint32_t flags;
    uint8_t major, minor;
    uint16_t revision;
    uint32_t build;
    uint32_t pad;
} __attribute__((packed));
_Static_assert(sizeof(struct image_header) == IMAGE_HEADER_BYTES, "image_header");

struct image {
    struct image_header header;
    uint8_t hash[IMAGE_HASH_BYTES];
};

/* Reads and verifies what stands in a slot. False: absent, damaged, or not signed with our key. */
bool image_read(const uint8_t *slot, uint32_t slot_size, struct image *image);

#endif
