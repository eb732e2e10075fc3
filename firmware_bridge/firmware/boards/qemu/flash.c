/* The slots and what survives a reset, for boot loader and firmware alike. */
#include "flash.h"

#include <string.h>

const uint8_t *flash_slot(int slot) {
    return (const uint8_t *)SLOT_BASE(slot);
}

bool flash_erase(int slot) {
    memset((void *)SLOT_BASE(slot), 0xff, SLOT_BYTES);
    return true;
}

bool flash_write(int slot, uint32_t offset, const uint8_t *data, size_t size) {
    if (offset > SLOT_BYTES || size > SLOT_BYTES - offset)
        return false;
    uint8_t *at = (uint8_t *)SLOT_BASE(slot) + offset;
    for (size_t i = 0; i < size; i++)
        if (at[i] != 0xff)
            return false; /* as real flash: only erased bytes take any value */
    memcpy(at, data, size);
    return true;
}

void flash_boot_write(int copy, const struct boot_record *record) {
    memcpy((void *)&KEPT->boot[copy], record, sizeof *record);
}
