#ifndef FLASH_H
#define FLASH_H

#include <stdbool.h>
#include <stddef.h>

#include "memory.h"

const uint8_t *flash_slot(int slot);
bool flash_erase(int slot);
bool flash_write(int slot, uint32_t offset, const uint8_t *data, size_t size);
void flash_boot_write(int copy, const struct boot_record *record);

#endif
