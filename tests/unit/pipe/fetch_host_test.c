/* fetch_host_test.c - whose turn it is, with plain numbers for the time. */
#include "worker/pipe/fetch_host.h"

#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/pipe/fetch_robots.h"

#include <stdio.h>

#define AT 1000 /* any moment */

static struct fetch_options options(void)
{
    return (struct fetch_options){.per_host = 2,
                                  .total_ms = 20000,
                                  .down_failures = 3,
                                  .down_after_ms = 1000,
                                  .down_pause_ms = 5000};
}

struct world {
    struct fetch_hosts *hosts;
    struct fetch_item item[16];
    uint32_t count;
    enum fetch_status status; /* of the last turn that failed */
    int64_t wait_ms;          /* of the last that there was none */
};

static void push(struct world *world, const char *name)
{
    struct fetch_item *item = &world->item[world->count++];
    item->host = fetch_hosts_get(world->hosts, name);
    EXPECT(item->host != NULL);
    fetch_host_push(world->hosts, item->host, item, false);
}

static void world_init(struct world *world, const char *names)
{
    const struct fetch_options opts = options();
    *world = (struct world){.hosts = fetch_hosts_new(&opts)};
    for (; *names; names++) push(world, (const char[]){*names, 0});
}

static enum fetch_turn turn(struct world *world, int64_t now_ms, struct fetch_item **item)
{
    world->wait_ms = 60000;
    *item = NULL;
    return fetch_hosts_next(world->hosts, item, &world->status, true, now_ms, &world->wait_ms);
}

/* The index of the item that starts; -1: none; -2: one failed. */
static int starts(struct world *world, int64_t now_ms)
{
    struct fetch_item *item;
    const enum fetch_turn found = turn(world, now_ms, &item);
    if (found == FETCH_TURN_NONE) return -1;
    return found == FETCH_TURN_START ? (int)(item - world->item) : -2;
}

static void ends(struct world *world, uint32_t i, enum fetch_contact contact, int64_t now_ms)
{
    fetch_host_ended(world->hosts, world->item[i].host, &world->item[i], contact, now_ms);
}

TEST(host, has_a_cap_and_lets_others_pass)
{
    UNUSED_STATE;
    struct world world;
    world_init(&world, "aaaabb");
    const int order[] = {0, 4, 1, 5, -1};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        EXPECT_EQ(starts(&world, AT), order[i]);
    ends(&world, 4, FETCH_CONTACT_MADE, AT);
    EXPECT_EQ(starts(&world, AT), -1); /* b has none that waits */
    ends(&world, 1, FETCH_CONTACT_MADE, AT);
    EXPECT_EQ(starts(&world, AT), 2);
    EXPECT(fetch_hosts_drop(world.hosts) == &world.item[3]);
    EXPECT(fetch_hosts_drop(world.hosts) == NULL);
    fetch_hosts_free(world.hosts);
}

TEST(host, pauses_alone)
{
    UNUSED_STATE;
    struct world world;
    world_init(&world, "aab");
    fetch_host_pause(world.item[0].host, AT + 3000);
    fetch_host_pause(world.item[0].host, AT + 2000); /* does not shorten it */
    EXPECT_EQ(starts(&world, AT), 2);
    EXPECT_EQ(starts(&world, AT), -1);
    EXPECT_EQ(world.wait_ms, 3000);
    EXPECT_EQ(starts(&world, AT + 3000), 0);
    fetch_host_pause(world.item[0].host, AT + 3001 + 20000);
    EXPECT_EQ(starts(&world, AT + 3000), -2); /* longer than a row may take */
    EXPECT_EQ(world.status, FETCH_HOST_BUSY);
    fetch_hosts_free(world.hosts);
}

/* Three failures of host a, the last of them at the time given. */
static void fail_thrice(struct world *world, enum fetch_contact contact, int64_t last_ms)
{
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_EQ(starts(world, AT), (int)i);
        ends(world, i, contact, i < 2 ? AT : last_ms);
    }
}

TEST(host, is_down_after_failures_over_a_time)
{
    UNUSED_STATE;
    struct world world;
    world_init(&world, "aaaaa");
    fail_thrice(&world, FETCH_CONTACT_FAILED, AT + 999);
    EXPECT_EQ(starts(&world, AT + 999), 3); /* too early to say so */
    ends(&world, 3, FETCH_CONTACT_FAILED, AT + 1000);
    EXPECT_EQ(starts(&world, AT + 1000), -2);
    EXPECT_EQ(world.status, FETCH_HOST_DOWN);
    push(&world, "b");
    EXPECT_EQ(starts(&world, AT + 1000), 5);
    fetch_hosts_free(world.hosts);
}

TEST(host, is_not_down_while_something_succeeds)
{
    UNUSED_STATE;
    struct world world;
    world_init(&world, "aaaaaa");
    const enum fetch_contact contacts[] = {FETCH_CONTACT_FAILED, FETCH_CONTACT_FAILED,
                                           FETCH_CONTACT_MADE, FETCH_CONTACT_FAILED,
                                           FETCH_CONTACT_NONE};
    for (uint32_t i = 0; i < 5; i++) {
        EXPECT_EQ(starts(&world, AT + 2000 * i), (int)i);
        ends(&world, i, contacts[i], AT + 2000 * i);
    }
    EXPECT_EQ(starts(&world, AT + 10000), 5);
    fetch_hosts_free(world.hosts);
}

TEST(host, is_probed_by_one_after_a_pause_that_doubles)
{
    UNUSED_STATE;
    struct world world;
    world_init(&world, "aaaaaaa");
    fail_thrice(&world, FETCH_CONTACT_BUSY, AT + 1000);
    EXPECT_EQ(starts(&world, AT + 5999), -2);
    EXPECT_EQ(world.status, FETCH_HOST_BUSY);
    EXPECT_EQ(starts(&world, AT + 6000), 4);
    EXPECT_EQ(starts(&world, AT + 6000), -1); /* waits for the probe */
    ends(&world, 4, FETCH_CONTACT_FAILED, AT + 7000);
    EXPECT_EQ(starts(&world, AT + 16999), -2); /* 5000 became 10000 */
    EXPECT_EQ(world.status, FETCH_HOST_DOWN);
    EXPECT_EQ(starts(&world, AT + 17000), 6);
    push(&world, "a");
    push(&world, "a");
    ends(&world, 6, FETCH_CONTACT_MADE, AT + 17001);
    EXPECT_EQ(starts(&world, AT + 17001), 7);
    EXPECT_EQ(starts(&world, AT + 17001), 8);
    fetch_hosts_free(world.hosts);
}

TEST(host, without_a_name_fails_for_a_minute)
{
    UNUSED_STATE;
    struct world world;
    world_init(&world, "aab");
    fetch_host_nameless(world.item[0].host, FETCH_DNS_TIMEOUT, AT);
    EXPECT_EQ(starts(&world, AT), -2);
    EXPECT_EQ(world.status, FETCH_DNS_TIMEOUT);
    EXPECT_EQ(starts(&world, AT + 60000), 2);
    EXPECT_EQ(starts(&world, AT + 60000), 1);
    fetch_hosts_free(world.hosts);
}

TEST(host, is_forgotten_when_idle_the_longest_first)
{
    UNUSED_STATE;
    struct world world;
    char name[32];
    world_init(&world, "qr");
    EXPECT_EQ(starts(&world, AT), 0);
    struct fetch_host *first = fetch_hosts_get(world.hosts, "first");
    fetch_host_nameless(first, FETCH_DNS_FAILED, AT);
    for (uint32_t i = 0; i < 3 * FETCH_HOSTS_MAX; i++) {
        (void)snprintf(name, sizeof name, "host%u.example:80", i);
        EXPECT(fetch_hosts_get(world.hosts, name) != NULL);
    }
    EXPECT_EQ(fetch_hosts_count(world.hosts), FETCH_HOSTS_MAX);
    EXPECT(fetch_hosts_get(world.hosts, "q") == world.item[0].host); /* running */
    EXPECT(fetch_hosts_get(world.hosts, "r") == world.item[1].host); /* has a queue */
    EXPECT_EQ(fetch_hosts_get(world.hosts, "first")->nameless_until_ms, 0);
    fetch_hosts_free(world.hosts);
}

/* What a host's robots.txt of 264 KiB becomes. */
static struct fetch_robots *large_rules(void)
{
    struct buf text;
    buf_init(&text, 0);
    buf_text(&text, "User-agent: *\n");
    for (uint32_t i = 0; text.len < 264 * 1024; i++) buf_printf(&text, "Disallow: /%0400u\n", i);
    struct fetch_robots *robots = fetch_robots_new(buf_str(&text), text.len, "vlmq");
    EXPECT(robots != NULL);
    buf_deinit(&text);
    return robots;
}

TEST(host, has_rules_within_the_memory_of_all)
{
    UNUSED_STATE;
    enum { COUNT = 150 };
    struct world world;
    struct fetch_item item[COUNT];
    char name[32];
    uint32_t with_rules = 0;
    world_init(&world, "");
    /* Hosts with a queue are not forgotten for their rules… */
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof name, "busy%u", i);
        item[i] = (struct fetch_item){.host = fetch_hosts_get(world.hosts, name)};
        fetch_host_push(world.hosts, item[i].host, &item[i], false);
        with_rules += fetch_host_robots(world.hosts, item[i].host, large_rules());
    }
    EXPECT(with_rules > 50 && with_rules < COUNT);
    EXPECT(with_rules * (size_t)264 * 1024 <= FETCH_ROBOTS_MEMORY_MAX);
    for (uint32_t i = 0; i < COUNT; i++) EXPECT_EQ(item[i].host->robots != NULL, i < with_rules);
    /* …but others are. */
    struct fetch_host *first = item[0].host;
    EXPECT(fetch_hosts_drop(world.hosts) == &item[0]);
    EXPECT_EQ(fetch_hosts_count(world.hosts), COUNT);
    EXPECT(!first->first);
    while (fetch_hosts_drop(world.hosts)) {
    }
    fetch_hosts_free(world.hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(host, has_a_cap_and_lets_others_pass),
        RUN(host, pauses_alone),
        RUN(host, is_down_after_failures_over_a_time),
        RUN(host, is_not_down_while_something_succeeds),
        RUN(host, is_probed_by_one_after_a_pause_that_doubles),
        RUN(host, without_a_name_fails_for_a_minute),
        RUN(host, is_forgotten_when_idle_the_longest_first),
        RUN(host, has_rules_within_the_memory_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
