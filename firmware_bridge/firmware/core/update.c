#include "update.h"

#include <string.h>

#include "boot.h"
#include "cbor.h"

#define SMP_HEADER 8
#define GROUP_OS 0
#define GROUP_IMAGE 1
#define OP_READ 0
#define OP_WRITE 2
#define RESET_AFTER_US 300000
#define BUFFER_BYTES 640

enum error { OK = 0, INVALID = 3, NOT_FOUND = 5, BAD_STATE = 6, TOO_LARGE = 7, NOT_SUPPORTED = 8, CORRUPT = 9 };

static struct {
    uint32_t size, offset; /* of the upload under way; size 0: none */
    uint64_t reset_at_us;  /* 0: not asked for */
} update;
static struct boot_record record; /* as stored, while a request is served */

uint8_t update_slot(void) {
    if (board.boot == NULL)
        return 0;
    boot_load(&record);
    return record.running;
}

uint8_t update_confirmed(void) {
    return update_slot() == record.confirmed;
}

void update_poll(uint64_t now_us) {
    if (update.reset_at_us != 0 && now_us >= update.reset_at_us) {
        update.reset_at_us = 0;
        board.reset(RESET_SOFTWARE);
    }
}

static void put_slot(struct cbor_out *out, uint8_t slot) {
    struct image image;
    char version[16];
    if (!image_read(board.slot(slot), board.slot_size, &image))
        return;
    cbor_version(version, image.header.major, image.header.minor, image.header.revision);
    cbor_open_map(out);
    cbor_put_uint(out, "slot", slot);
    cbor_put_text(out, "version", version);
    cbor_put_bytes(out, "hash", image.hash, sizeof image.hash);
    cbor_put_bool(out, "bootable", true);
    cbor_put_bool(out, "pending", record.wanted == slot);
    cbor_put_bool(out, "confirmed", record.confirmed == slot);
    cbor_put_bool(out, "active", record.running == slot);
    cbor_put_bool(out, "permanent", record.wanted == slot && record.permanent);
    cbor_close(out);
}

static enum error put_state(struct cbor_out *out) {
    cbor_open_array(out, "images");
    put_slot(out, 0);
    put_slot(out, 1);
    cbor_close(out);
    return OK;
}

/* "hash" and "confirm": try it at the next start, or keep it; without a hash, keep the running one. */
static enum error set_state(const struct cbor_in *in, struct cbor_out *out) {
    struct cbor_item hash, confirm;
    struct image image;
    bool keep = cbor_find(in, "confirm", &confirm) && confirm.kind == CBOR_BOOL && confirm.number;
    if (!cbor_find(in, "hash", &hash) || hash.kind != CBOR_BYTES) {
        if (!keep)
            return INVALID;
        record.confirmed = record.running;
        boot_save(&record);
        return put_state(out);
    }
    for (uint8_t slot = 0; slot < 2; slot++) {
        if (!image_read(board.slot(slot), board.slot_size, &image))
            continue;
        if (hash.size != sizeof image.hash || memcmp(hash.data, image.hash, hash.size) != 0)
            continue;
        if (slot == record.running && keep)
            record.confirmed = slot;
        else if (slot == record.running)
            return BAD_STATE;
        else {
            record.wanted = slot;
            record.permanent = keep;
        }
        boot_save(&record);
        return put_state(out);
    }
    return NOT_FOUND;
}

static enum error begin_upload(const struct cbor_in *in, uint8_t target) {
    struct cbor_item size, image;
    if (!cbor_find(in, "len", &size) || size.kind != CBOR_UINT)
        return INVALID;
    if (cbor_find(in, "image", &image) && (image.kind != CBOR_UINT || image.number != 0))
        return INVALID;
    if (size.number > board.slot_size || size.number <= IMAGE_HEADER_BYTES)
        return TOO_LARGE;
    if (record.confirmed != record.running)
        return BAD_STATE; /* the other slot is what a failed trial goes back to */
    update.size = update.offset = 0;
    record.wanted = NO_SLOT; /* what was there is about to go */
    boot_save(&record);
    if (!board.slot_erase(target))
        return CORRUPT;
    update.size = (uint32_t)size.number;
    return OK;
}

static enum error upload(const struct cbor_in *in, struct cbor_out *out) {
    struct cbor_item offset, data;
    struct image image;
    uint8_t target = record.running ^ 1;
    if (!cbor_find(in, "off", &offset) || offset.kind != CBOR_UINT || !cbor_find(in, "data", &data) || data.kind != CBOR_BYTES)
        return INVALID;
    if (offset.number == 0) {
        enum error error = begin_upload(in, target);
        if (error != OK)
            return error;
    }
    if (update.size == 0 || data.size > update.size - update.offset)
        return INVALID;
    if (offset.number == update.offset && data.size > 0) { /* else: tell where to go on */
        if (!board.slot_write(target, update.offset, data.data, data.size))
            return CORRUPT;
        update.offset += (uint32_t)data.size;
    }
    cbor_put_uint(out, "off", update.offset);
    if (update.offset == update.size) {
        update.size = update.offset = 0;
        if (!image_read(board.slot(target), board.slot_size, &image)) {
            board.slot_erase(target);
            return CORRUPT;
        }
    }
    return OK;
}

static enum error os_group(uint8_t command, const struct cbor_in *in, struct cbor_out *out) {
    struct cbor_item text;
    if (command == 0 && cbor_find(in, "d", &text) && text.kind == CBOR_TEXT) {
        cbor_put_text_size(out, "r", text.data, text.size);
        return OK;
    }
    if (command == 5) {
        update.reset_at_us = board.now_us() + RESET_AFTER_US;
        return OK;
    }
    if (command == 6) {
        cbor_put_uint(out, "buf_size", BUFFER_BYTES);
        cbor_put_uint(out, "buf_count", 1);
        return OK;
    }
    return NOT_SUPPORTED;
}

static enum error image_group(uint8_t operation, uint8_t command, const struct cbor_in *in, struct cbor_out *out) {
    if (!(board.capabilities & CAP_UPDATE))
        return NOT_SUPPORTED;
    boot_load(&record);
    if (command == 0)
        return operation == OP_READ ? put_state(out) : set_state(in, out);
    return command == 1 && operation == OP_WRITE ? upload(in, out) : NOT_SUPPORTED;
}

size_t update_request(const uint8_t *request, size_t size, uint8_t *response, size_t room) {
    if (size < SMP_HEADER || room < SMP_HEADER + 16)
        return 0;
    uint8_t operation = request[0] & 7;
    uint16_t group = (uint16_t)(request[4] << 8 | request[5]);
    struct cbor_in in;
    struct cbor_out out;
    enum error error = INVALID;
    cbor_begin(&out, response + SMP_HEADER, room - SMP_HEADER);
    if ((operation == OP_READ || operation == OP_WRITE) && (size_t)(request[2] << 8 | request[3]) == size - SMP_HEADER &&
        cbor_parse(&in, request + SMP_HEADER, size - SMP_HEADER)) {
        if (group == GROUP_OS)
            error = os_group(request[7], &in, &out);
        else
            error = group == GROUP_IMAGE ? image_group(operation, request[7], &in, &out) : NOT_SUPPORTED;
    }
    if (error != OK) {
        cbor_begin(&out, response + SMP_HEADER, room - SMP_HEADER);
        cbor_put_uint(&out, "rc", error);
    }
    size_t body = cbor_end(&out);
    memcpy(response, request, SMP_HEADER);
    response[0] = request[0] | 1;
    response[1] = 0;
    response[2] = (uint8_t)(body >> 8);
    response[3] = (uint8_t)body;
    return SMP_HEADER + body;
}
