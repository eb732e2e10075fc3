/* Text and pictures in the HUD's memory. */
#ifndef HUD_H
#define HUD_H

#include "board.h"

void hud_clear(void);
void hud_text(uint16_t x, uint16_t y, uint8_t level, const uint8_t *text, size_t size);
bool hud_bitmap(const struct msg_hud_bitmap *bitmap, size_t size); /* size of bitmap->data; false: not whole rows */

#endif
