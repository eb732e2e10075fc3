#include "hud.h"

#include <string.h>

#include "font.h" /* made by assets.py: FONT_WIDTH, FONT_HEIGHT, font_rows[95][FONT_HEIGHT], 32 to 126 */

static void pixel(uint32_t x, uint32_t y, uint8_t level) {
    if (x < board.hud_width && y < board.hud_height)
        board.hud[y * board.hud_width + x] = level;
}

void hud_clear(void) {
    memset(board.hud, 0, (size_t)board.hud_width * board.hud_height);
}

static void glyph(uint32_t x, uint32_t y, uint8_t level, uint8_t sign) {
    bool known = sign >= 32 && sign < 127;
    for (uint32_t row = 0; row < FONT_HEIGHT; row++) {
        bool edge = row == 1 || row == FONT_HEIGHT - 3;
        uint8_t box = row < 1 || row > FONT_HEIGHT - 3 ? 0 : edge ? 0x7c : 0x44;
        uint8_t bits = known ? font_rows[sign - 32][row] : box;
        for (uint32_t column = 0; column < FONT_WIDTH; column++)
            if (bits << column & 0x80)
                pixel(x + column, y + row, level);
    }
}

void hud_text(uint16_t x, uint16_t y, uint8_t level, const uint8_t *text, size_t size) {
    uint32_t at_x = x, at_y = y;
    for (size_t i = 0; i < size; i++) {
        if ((text[i] & 0xc0) == 0x80)
            continue; /* the rest of a UTF-8 sequence: its first byte drew the box */
        if (text[i] != '\n' && at_x + FONT_WIDTH <= board.hud_width) {
            glyph(at_x, at_y, level, text[i]);
            at_x += FONT_WIDTH;
        } else {
            at_x = x;
            at_y += FONT_HEIGHT;
            if (text[i] != '\n' && x + FONT_WIDTH <= board.hud_width) {
                glyph(at_x, at_y, level, text[i]);
                at_x += FONT_WIDTH;
            }
        }
    }
}

bool hud_bitmap(const struct msg_hud_bitmap *bitmap, size_t size) {
    if (bitmap->width == 0 || (bitmap->bits != 1 && bitmap->bits != 8))
        return false;
    size_t row_bytes = bitmap->bits == 8 ? bitmap->width : (bitmap->width + 7u) / 8;
    if (size == 0 || size % row_bytes != 0)
        return false;
    for (size_t row = 0; row < size / row_bytes; row++) {
        const uint8_t *line = bitmap->data + row * row_bytes;
        for (uint32_t i = 0; i < bitmap->width; i++) {
            uint8_t level = bitmap->bits == 8 ? line[i] : line[i / 8] << (i % 8) & 0x80 ? 255 : 0;
            pixel(bitmap->x + i, (uint32_t)(bitmap->y + row), level);
        }
    }
    return true;
}
