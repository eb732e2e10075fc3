/* Which firmware runs: two slots, and a trial that ends with the next reset unless it is confirmed. */
#ifndef BOOT_H
#define BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "image.h"

#define BOOT_MAGIC 0x544f4f42
#define NO_SLOT 0xff

/* Two copies survive resets; a write goes to the older one, so that a power cut leaves the other. */
struct boot_record {
    uint32_t magic;
    uint32_t generation;
    uint8_t confirmed; /* the slot to fall back to */
    uint8_t wanted;    /* the slot to try at the next start, or NO_SLOT */
    uint8_t running;   /* the slot that was started last */
    uint8_t permanent; /* wanted needs no trial */
    uint32_t crc32;
};

/* The newest good copy of board.boot; where there is none, that of the first start: slot 0, confirmed. */
void boot_load(struct boot_record *record);
void boot_save(struct boot_record *record);

/* Decides and records which slot to start; NO_SLOT when neither holds a good image. */
uint8_t boot_choose(struct image *image);

#endif
