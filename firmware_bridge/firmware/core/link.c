#include "link.h"

#include <string.h>

#include "protocol_hash.h"

#define SILENCE_US 5000000
#define FIRST_CREDIT 4
#define ACK_EVERY 4 /* frames in order */
#define ACK_WAIT_US 10000
#define ROOM_TO_ANSWER 2 /* messages that the answer to one message may take */
#define FIRST_RTO_US 300000
#define MIN_RTO_US 30000
#define MAX_RTO_US 2000000
#define QUEUE_US 150000 /* what bulk may wait on the way: more would stand in front of sound */
#define FIRST_FLIGHT 8
#define MIN_FLIGHT 4    /* frames of bulk in flight, however slow the wire */

static const uint8_t HASH[HASH_BYTES] = PROTOCOL_HASH;

static uint16_t ms(const struct link *link) {
    return (uint16_t)(link->now_us / 1000);
}

static struct slot *slot_of(struct slot *slots, uint16_t seq) {
    return &slots[seq & (LINK_SLOTS - 1)];
}

void link_init(struct link *link, const struct link_config *config) {
    memset(link, 0, sizeof *link);
    link->config = *config;
    link->rto_us = FIRST_RTO_US;
    link->least_us = UINT32_MAX / 2;
    link->flight = FIRST_FLIGHT;
    config->random((uint8_t *)&link->epoch, sizeof link->epoch);
}

static void deliver(struct link *link, uint8_t channel);

/* Sending. */

unsigned link_room(const struct link *link, uint8_t channel) {
    const struct send_channel *c = &link->send[channel];
    return LINK_SLOTS - (uint16_t)(c->end - c->base);
}

bool link_send(struct link *link, uint8_t channel, const uint8_t *message, size_t size) {
    struct send_channel *c = &link->send[channel];
    if (size == 0 || size > MAX_MESSAGE || link_room(link, channel) == 0)
        return false;
    struct slot *slot = slot_of(c->slots, c->end++);
    memcpy(slot->message, message, size);
    slot->size = (uint16_t)size;
    slot->tries = 0;
    slot->due_us = 0;
    return true;
}

/* Bulk is ack-clocked and gives way when it only makes a queue longer, as LEDBAT (RFC 6817) does. */
static void fewer_in_flight(struct link *link) {
    if (link->now_us - link->flight_us < link->round_trip_us)
        return; /* once a round trip */
    link->flight_us = link->now_us;
    link->flight = (uint8_t)(link->flight * 7 / 8 > MIN_FLIGHT ? link->flight * 7 / 8 : MIN_FLIGHT);
}

static void arrived(struct link *link, unsigned count) {
    if (link->round_trip_us > link->least_us + QUEUE_US) {
        fewer_in_flight(link);
        return;
    }
    link->flight_acked += count;
    if (link->flight_acked >= link->flight) {
        link->flight_acked = 0;
        link->flight += link->flight < LINK_SLOTS;
    }
}

static struct slot *due(struct link *link, uint8_t channel, uint16_t *seq) {
    struct send_channel *c = &link->send[channel];
    for (*seq = c->base; *seq != c->next; ++*seq) {
        struct slot *slot = slot_of(c->slots, *seq);
        if (slot->size > 0 && slot->due_us <= link->now_us) {
            link->repeated++;
            if (channel == CHANNEL_BULK && link->round_trip_us > link->least_us + QUEUE_US / 2)
                fewer_in_flight(link); /* where no queue grows the loss was noise, and sending less would not help */
            return slot;
        }
    }
    if (channel == CHANNEL_BULK && (uint16_t)(c->next - c->base) >= link->flight)
        return NULL;
    if (c->next == c->end || (int16_t)(c->limit - c->next) <= 0)
        return NULL;
    return slot_of(c->slots, c->next++);
}

static size_t data_body(struct link *link, uint8_t *body) {
    for (uint8_t channel = 0; channel < CHANNELS; channel++) {
        uint16_t seq;
        struct slot *slot = due(link, channel, &seq);
        if (slot == NULL)
            continue;
        uint64_t wait = (uint64_t)link->rto_us << (slot->tries < 3 ? slot->tries : 3);
        slot->due_us = link->now_us + (wait < MAX_RTO_US ? wait : MAX_RTO_US);
        slot->tries += slot->tries < 3;
        struct frame_data head = {
            .kind = FRAME_DATA, .session = link->session, .channel = channel, .seq = seq, .t_ms = ms(link)};
        memcpy(body, &head, sizeof head);
        memcpy(body + sizeof head, slot->message, slot->size);
        return sizeof head + slot->size;
    }
    return 0;
}

static size_t ack_body(struct link *link, uint8_t *body) {
    for (uint8_t channel = 0; channel < CHANNELS; channel++) {
        struct receive_channel *c = &link->receive[channel];
        if (!c->owes_ack || c->ack_us > link->now_us)
            continue;
        c->owes_ack = false;
        c->unacked = 0;
        struct frame_ack ack = {.kind = FRAME_ACK,
                                .session = link->session,
                                .channel = channel,
                                .next = c->next,
                                .limit = (uint16_t)(c->next + LINK_SLOTS),
                                .echo_ms = c->echo_ms};
        for (uint16_t i = 1; i < LINK_SLOTS; i++)
            if (slot_of(c->slots, (uint16_t)(c->next + i))->size > 0)
                ack.mask |= (uint32_t)1 << (i - 1);
        memcpy(body, &ack, sizeof ack);
        return sizeof ack;
    }
    return 0;
}

static size_t sealable_body(struct link *link, uint8_t *body) {
    size_t size = ack_body(link, body);
    if (size > 0)
        return size;
    if (link->owes_pong) {
        link->owes_pong = false;
        link->pong.t3_us = link->now_us;
        memcpy(body, &link->pong, sizeof link->pong);
        return sizeof link->pong;
    }
    return data_body(link, body);
}

/* The next body that is due, in link->body; 0 for none. */
static size_t next_body(struct link *link) {
    if (link->owes_hello) {
        link->owes_hello = false;
        memcpy(link->body, &link->own, sizeof link->own);
        return sizeof link->own;
    }
    if (link->owes_noise) {
        link->owes_noise = false;
        memcpy(link->body, &link->second, sizeof link->second);
        return sizeof link->second;
    }
    if (!link->up)
        return 0;
    if (link->config.key == NULL)
        return sealable_body(link, link->body);
    size_t size = sealable_body(link, link->body + SEAL_HEAD);
    size = size > 0 ? secure_seal(&link->sealer, link->session, link->body, size) : 0;
    if (link->sealer.counter == UINT32_MAX)
        link->up = false; /* the host will greet anew */
    return size;
}

size_t link_output(struct link *link, uint8_t *out, size_t room, uint64_t now_us) {
    size_t used = 0, size;
    link->now_us = now_us;
    if (link->up && now_us - link->heard_us > SILENCE_US)
        link->up = false;
    for (uint8_t channel = 0; channel < CHANNELS; channel++)
        deliver(link, channel);
    while (room - used >= MAX_WIRE && (size = next_body(link)) > 0)
        used += frame_encode(link->body, size, out + used);
    return used;
}

/* Greeting. */

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
            slot_of(send->slots, seq)->tries = 0;
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
    link->flight = FIRST_FLIGHT;
    link->least_us = UINT32_MAX / 2; /* another wire, perhaps */
    link->up = true;
    link->sessions++;
}

static void on_hello(struct link *link, const uint8_t *body, size_t size) {
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

static void on_noise(struct link *link, const uint8_t *body, size_t size) {
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

/* Receiving. */

/* Hands over what is in order, as long as there is room for an answer to it. */
static void deliver(struct link *link, uint8_t channel) {
    struct receive_channel *c = &link->receive[channel];
    struct slot *slot;
    while ((slot = slot_of(c->slots, c->next))->size > 0) {
        if (link_room(link, CHANNEL_CONTROL) < ROOM_TO_ANSWER || link_room(link, CHANNEL_BULK) < ROOM_TO_ANSWER)
            return;
        size_t size = slot->size;
        slot->size = 0;
        c->next++;
        link->config.message(link->config.context, channel, slot->message, size);
    }
}

/* What comes in order is acknowledged a few at a time; anything else at once. */
static void owe_ack(const struct link *link, struct receive_channel *c, uint16_t ahead, uint16_t t_ms) {
    if (c->unacked == 0)
        c->echo_ms = t_ms; /* so that the sender's time-out allows for the waiting here (RFC 7323) */
    c->unacked += c->unacked < UINT8_MAX;
    if (ahead > 0 || c->unacked >= ACK_EVERY || slot_of(c->slots, c->next)->size > 0)
        c->ack_us = 0;
    else if (!c->owes_ack)
        c->ack_us = link->now_us + ACK_WAIT_US;
    c->owes_ack = true;
}

static void on_data(struct link *link, const uint8_t *body, size_t size) {
    const struct frame_data *data = (const struct frame_data *)body;
    if (size <= sizeof *data || size - sizeof *data > MAX_MESSAGE || data->channel >= CHANNELS) {
        link->malformed++;
        return;
    }
    struct receive_channel *c = &link->receive[data->channel];
    uint8_t channel = data->channel;
    uint16_t ahead = (uint16_t)(data->seq - c->next);
    owe_ack(link, c, ahead, data->t_ms);
    if (ahead >= LINK_SLOTS)
        return; /* it came before */
    size -= sizeof *data;
    struct slot *slot = slot_of(c->slots, data->seq);
    if (slot->size == 0)
        memcpy(slot->message, data->data, size);
    slot->size = (uint16_t)size;
    deliver(link, channel);
}

static void on_round_trip(struct link *link, uint16_t echo_ms) {
    uint32_t sample_us = (uint32_t)(uint16_t)(ms(link) - echo_ms) * 1000;
    if (sample_us > 10000000)
        return; /* the echo of a time before an outage */
    if (link->round_trip_us == 0) {
        link->round_trip_us = sample_us;
        link->deviation_us = sample_us / 2;
    } else {
        int32_t error = (int32_t)sample_us - (int32_t)link->round_trip_us;
        link->deviation_us += ((error < 0 ? -error : error) - (int32_t)link->deviation_us) / 4;
        link->round_trip_us += error / 8;
    }
    if (sample_us < link->least_us)
        link->least_us = sample_us;
    uint32_t rto = link->round_trip_us + 4 * link->deviation_us;
    link->rto_us = rto < MIN_RTO_US ? MIN_RTO_US : rto > MAX_RTO_US ? MAX_RTO_US : rto;
}

static void on_ack(struct link *link, const uint8_t *body) {
    const struct frame_ack *ack = (const struct frame_ack *)body;
    if (ack->channel >= CHANNELS) {
        link->malformed++;
        return;
    }
    struct send_channel *c = &link->send[ack->channel];
    if ((uint16_t)(ack->next - c->base) > (uint16_t)(c->next - c->base))
        return; /* older than another */
    if (ack->channel == CHANNEL_BULK)
        arrived(link, (uint16_t)(ack->next - c->base));
    for (; c->base != ack->next; c->base++)
        slot_of(c->slots, c->base)->size = 0;
    uint16_t flying = (uint16_t)(c->next - c->base);
    for (uint16_t i = 1; i < LINK_SLOTS && i < flying; i++)
        if (ack->mask >> (i - 1) & 1)
            slot_of(c->slots, (uint16_t)(c->base + i))->size = 0;
    if ((int16_t)(ack->limit - c->limit) > 0 && (uint16_t)(ack->limit - ack->next) <= MAX_WINDOW)
        c->limit = ack->limit;
    if (ack->echo_ms != 0)
        on_round_trip(link, ack->echo_ms);
}

static void on_ping(struct link *link, const uint8_t *body) {
    const struct frame_ping *ping = (const struct frame_ping *)body;
    link->pong.kind = FRAME_PONG;
    link->pong.session = link->session;
    link->pong.id = ping->id;
    link->pong.t1_us = ping->t1_us;
    link->pong.t2_us = link->now_us;
    link->owes_pong = true;
}

static void handle(struct link *link, const uint8_t *body, size_t size) {
    if (size < 2 || body[1] != link->session) {
        link->forged++;
        return;
    }
    link->heard_us = link->now_us;
    if (body[0] == FRAME_DATA)
        on_data(link, body, size);
    else if (body[0] == FRAME_ACK && size == sizeof(struct frame_ack))
        on_ack(link, body);
    else if (body[0] == FRAME_PING && size == sizeof(struct frame_ping))
        on_ping(link, body);
    else if (body[0] == FRAME_BYE && size == sizeof(struct frame_bye))
        link->up = false;
    else
        link->malformed++;
}

static void on_frame(void *context, uint8_t *body, size_t size) {
    struct link *link = context;
    if (body[0] == FRAME_HELLO) {
        on_hello(link, body, size);
    } else if (body[0] == FRAME_NOISE1) {
        on_noise(link, body, size);
    } else if (!link->up) {
        return; /* of a session that is over */
    } else if (link->config.key == NULL) {
        handle(link, body, size);
    } else {
        size = body[0] == FRAME_SEALED && size > 1 && body[1] == link->session ? secure_open(&link->sealer, body, size) : 0;
        if (size > 0)
            handle(link, body + SEAL_HEAD, size);
        else
            link->forged++;
    }
}

void link_input(struct link *link, const uint8_t *data, size_t size, uint64_t now_us) {
    link->now_us = now_us;
    frame_decode(&link->decoder, data, size, on_frame, link);
}
