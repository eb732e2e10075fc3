/* How a session begins: greetings, and the key exchange where there is a key. */
#include <string.h>

#include "link_parts.h"
#include "protocol_hash.h"

#define FIRST_CREDIT 4

static const uint8_t HASH[HASH_BYTES] = PROTOCOL_HASH;

static void session_begins(struct link *link) {
    bool restarted = link->sessions > 0 && link->host_epoch != link->host.epoch;
    for (int i = 0; i < CHANNELS; i++) {
        struct send_channel *send = &link->send[i];
        if (restarted) {
            memset(send, 0, sizeof *send);
            memset(&link->receive[i], 0, sizeof link->receive[i]);
        }
        for (uint16_t seq = send->base; seq != send->next; seq++) {
            slot_of(send->slots, seq)->due_us = 0;
            slot_of(send->slots, seq)->sent = false;
        }
        send->limit = (uint16_t)(send->next + FIRST_CREDIT);
        link->receive[i].owes_ack = true;
        link->receive[i].ack_us = 0;
        link->receive[i].unacked = 0;
        link->receive[i].echo_ms = 0;
    }
    link->host_epoch = link->host.epoch;
    link->session = link->host.session;
    link->heard_us = link->now_us;
    link->owes_pong = false;
    link_no_flight(link);
    link->up = true;
    link->met = false;
    link->sessions++;
}

void link_on_hello(struct link *link, const uint8_t *body, size_t size) {
    const struct frame_hello *hello = (const struct frame_hello *)body;
    if (size < 16 || hello->magic != PROTOCOL_MAGIC || hello->flags & HELLO_REPLY)
        return;
    bool same = size == sizeof *hello && memcmp(hello->hash, HASH, HASH_BYTES) == 0 && hello->version == PROTOCOL_VERSION;
    link->owes_hello = true;
    if (same && link->greeted && memcmp(hello, &link->host, sizeof *hello) == 0)
        return; /* it was sent again: so is the same answer */
    memset(&link->host, 0, sizeof link->host);
    memcpy(&link->host, body, same ? sizeof *hello : 16);
    memset(&link->own, 0, sizeof link->own);
    link->own.kind = FRAME_HELLO;
    link->own.version = PROTOCOL_VERSION;
    link->own.flags = (uint8_t)(HELLO_REPLY | (link->config.key != NULL ? HELLO_SEALED : 0));
    link->own.session = hello->session;
    link->own.magic = PROTOCOL_MAGIC;
    memcpy(link->own.hash, HASH, HASH_BYTES);
    link->own.epoch = link->epoch;
    link->config.random(link->own.nonce, NONCE_BYTES);
    memcpy(link->own.echo, link->host.nonce, NONCE_BYTES);
    link->greeted = same;
    memset(&link->first, 0, sizeof link->first);
    if (same && link->config.key == NULL && !(hello->flags & HELLO_SEALED))
        session_begins(link);
}

void link_on_noise(struct link *link, const uint8_t *body, size_t size) {
    struct frame_noise first;
    uint8_t prologue[2 * sizeof(struct frame_hello)], secret[KEY_BYTES];
    struct sealer sealer;
    if (size != sizeof first || !link->greeted || link->config.key == NULL)
        return;
    memcpy(&first, body, size);
    if (memcmp(&first, &link->first, sizeof first) == 0) {
        link->owes_noise = true;
        return;
    }
    memcpy(prologue, &link->host, sizeof link->host);
    memcpy(prologue + sizeof link->host, &link->own, sizeof link->own);
    link->config.random(secret, sizeof secret);
    if (first.session != link->host.session ||
        !secure_respond(link->config.key, prologue, sizeof prologue, secret, &first, &link->second, &sealer)) {
        link->forged++;
        return;
    }
    link->first = first;
    link->sealer = sealer;
    link->owes_noise = true;
    session_begins(link);
}
