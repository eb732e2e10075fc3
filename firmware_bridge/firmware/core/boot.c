#include "boot.h"

#include <stddef.h>
#include <string.h>

#include "board.h"
#include "frame.h"

static uint32_t check(const struct boot_record *record) {
    return crc32_update(0, (const uint8_t *)record, offsetof(struct boot_record, crc32));
}

void boot_load(struct boot_record *record) {
    const struct boot_record *copies = board.boot;
    memset(record, 0, sizeof *record);
    record->wanted = NO_SLOT;
    for (int i = 0; i < 2; i++) {
        const struct boot_record *copy = &copies[i];
        bool good = copy->magic == BOOT_MAGIC && copy->crc32 == check(copy) && copy->confirmed < 2;
        if (good && copy->generation >= record->generation)
            *record = *copy;
    }
}

void boot_save(struct boot_record *record) {
    record->magic = BOOT_MAGIC;
    record->generation++;
    record->crc32 = check(record);
    board.boot_write(record->generation & 1, record);
}

uint8_t boot_choose(struct image *image) {
    struct boot_record record;
    boot_load(&record);
    uint8_t chosen = record.confirmed;
    if (record.wanted < 2 && image_read(board.slot(record.wanted), board.slot_size, image)) {
        chosen = record.wanted;
        if (record.permanent)
            record.confirmed = chosen;
    } /* else: a trial that was not confirmed is over, and its slot is there for the next update */
    record.wanted = NO_SLOT;
    record.permanent = 0;
    if (!image_read(board.slot(chosen), board.slot_size, image)) {
        chosen ^= 1;
        if (!image_read(board.slot(chosen), board.slot_size, image))
            return NO_SLOT;
        record.confirmed = chosen; /* the other one is broken: there is nothing to go back to */
    }
    record.running = chosen;
    boot_save(&record);
    return chosen;
}
