/* What goes out, when it goes again, and how much may be under way. */
#include <string.h>

#include "link_parts.h"

#define MIN_RTO_US 30000
#define MAX_RTO_US 2000000
#define QUEUE_US 150000 /* what bulk may wait on the way: more would stand in front of sound */
#define FIRST_FLIGHT 8
#define MIN_FLIGHT 4    /* frames of bulk in flight, however slow the wire */

void link_no_flight(struct link *link) {
    link->flight = FIRST_FLIGHT;
    link->least_us = UINT32_MAX / 2;
}

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
    slot->sent = false;
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

size_t link_data_body(struct link *link, uint8_t *body) {
    for (uint8_t channel = 0; channel < CHANNELS; channel++) {
        uint16_t seq;
        struct slot *slot = due(link, channel, &seq);
        if (slot == NULL)
            continue;
        /* Doubled once: echoes time what was sent again too, so a slow wire makes the time-out itself longer, and on
         * a noisy one what is lost three times in a row holds up all that follows it. */
        uint64_t wait = (uint64_t)link->rto_us << slot->sent;
        slot->due_us = link->now_us + (wait < MAX_RTO_US ? wait : MAX_RTO_US);
        slot->sent = true;
        struct frame_data head = {
            .kind = FRAME_DATA, .session = link->session, .channel = channel, .seq = seq, .t_ms = ms(link)};
        memcpy(body, &head, sizeof head);
        memcpy(body + sizeof head, slot->message, slot->size);
        return sizeof head + slot->size;
    }
    return 0;
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

void link_on_ack(struct link *link, const uint8_t *body) {
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
