/* A chip on a host: flash in a file that obeys NOR's rules, ESP-IDF's choice of the boot slot, NVS, time, tasks. */
#define _GNU_SOURCE
#include "esp_idf_on_a_host.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define FLASH_BYTES (4u << 20)
static uint8_t *flash;

static void must(bool holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "the chip's program did what it must not: %s\n", what);
    abort();
}

static const esp_partition_t partitions[] = {
    {ESP_PARTITION_TYPE_DATA, 2, 0x9000, 0x5000},     /* nvs */
    {ESP_PARTITION_TYPE_DATA, 0, 0xE000, 0x2000},     /* otadata */
    {ESP_PARTITION_TYPE_APP, 0x10, 0x10000, 0x160000}, /* ota_0 */
    {ESP_PARTITION_TYPE_APP, 0x11, 0x170000, 0x160000}, /* ota_1 */
};
static const esp_partition_t *running;

struct host_iterator { unsigned at; };

esp_partition_iterator_t esp_partition_find(esp_partition_type_t type, esp_partition_subtype_t subtype, const char *label)
{
    must(type == ESP_PARTITION_TYPE_ANY && subtype == ESP_PARTITION_SUBTYPE_ANY && label == NULL, "unknown search");
    return calloc(1, sizeof(struct host_iterator));
}

esp_partition_iterator_t esp_partition_next(esp_partition_iterator_t it)
{
    if (++it->at < sizeof partitions / sizeof *partitions) return it;
    free(it); /* as ESP-IDF does at the end */
    return NULL;
}

const esp_partition_t *esp_partition_get(esp_partition_iterator_t it) { return &partitions[it->at]; }
void esp_partition_iterator_release(esp_partition_iterator_t it) { free(it); }

static uint32_t crc_of_sequence(const uint8_t *bytes)
{
    uint32_t crc = 0; /* esp_rom_crc32_le(UINT32_MAX, …): the register begins at 0 */
    for (int i = 0; i < 4; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* The bootloader's choice (bootloader_utility.c), rollback off: the valid entry with the larger sequence. */
static const esp_partition_t *choose_slot(void)
{
    uint32_t best = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t entry[8];
        memcpy(entry, flash + 0xE000 + i * 0x1000, sizeof entry);
        bool valid = entry[0] != UINT32_MAX && entry[6] != 3 && entry[6] != 4 &&
                     entry[7] == crc_of_sequence(flash + 0xE000 + i * 0x1000);
        if (valid && entry[0] > best) best = entry[0];
    }
    return &partitions[2 + (best == 0 ? 0 : (best - 1) % 2)];
}

const esp_partition_t *esp_ota_get_running_partition(void)
{
    return running;
}

static void power_on(void)
{
    int file = open(getenv("FLASH"), O_RDWR);
    must(file >= 0, "FLASH names no file");
    flash = mmap(NULL, FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(flash != MAP_FAILED, "flash cannot be mapped");
    close(file);
    running = choose_slot();
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("boot: slot at 0x%x, version %.32s\n", running->address, (const char *)flash + running->address + 0x30);
}

esp_err_t esp_flash_get_size(esp_flash_t *chip, uint32_t *size)
{
    (void)chip;
    *size = FLASH_BYTES;
    return ESP_OK;
}

static bool fits(uint32_t address, uint32_t length) { return address <= FLASH_BYTES && length <= FLASH_BYTES - address; }

esp_err_t esp_flash_read(esp_flash_t *chip, void *into, uint32_t address, uint32_t length)
{
    (void)chip;
    if (!fits(address, length)) return ESP_ERR_INVALID_ARG;
    memcpy(into, flash + address, length);
    return ESP_OK;
}

static void may_write(uint32_t address, uint32_t length)
{
    must(address + length <= running->address || address >= running->address + running->size, "wrote the running slot");
    must(address >= 0xE000, "wrote nvs, the partition table or the bootloader");
}

esp_err_t esp_flash_write(esp_flash_t *chip, const void *bytes, uint32_t address, uint32_t length)
{
    (void)chip;
    if (!fits(address, length)) return ESP_ERR_INVALID_ARG;
    may_write(address, length);
    const uint8_t *from = bytes;
    for (uint32_t i = 0; i < length; i++) {
        must((from[i] & ~flash[address + i]) == 0, "programmed a 0 to 1");
        flash[address + i] &= from[i];
    }
    return ESP_OK;
}

esp_err_t esp_flash_erase_region(esp_flash_t *chip, uint32_t address, uint32_t length)
{
    (void)chip;
    if (!fits(address, length) || address % 4096 != 0 || length % 4096 != 0) return ESP_ERR_INVALID_ARG;
    may_write(address, length);
    memset(flash + address, 0xFF, length);
    return ESP_OK;
}

/* ----- NVS: a file for each key ----- */

esp_err_t nvs_flash_init(void) { return ESP_OK; }

esp_err_t nvs_open(const char *name_space, nvs_open_mode_t mode, nvs_handle_t *handle)
{
    (void)mode;
    must(strcmp(name_space, "rootcast") == 0, "opened another's namespace");
    *handle = 1;
    return ESP_OK;
}

void nvs_close(nvs_handle_t handle) { (void)handle; }

static FILE *blob(const char *key, const char *mode)
{
    char path[512];
    must(strlen(key) <= 15, "a key of NVS has at most 15 characters");
    snprintf(path, sizeof path, "%s.%s", getenv("FLASH"), key);
    return fopen(path, mode);
}

esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *into, size_t *length)
{
    (void)handle;
    FILE *file = blob(key, "rb");
    if (file == NULL) return 0x1102; /* ESP_ERR_NVS_NOT_FOUND */
    *length = fread(into, 1, *length, file);
    fclose(file);
    return ESP_OK;
}

esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *bytes, size_t length)
{
    (void)handle;
    FILE *file = blob(key, "wb");
    if (file == NULL) return ESP_FAIL;
    size_t written = fwrite(bytes, 1, length, file);
    fclose(file);
    return written == length ? ESP_OK : ESP_FAIL;
}

esp_err_t nvs_commit(nvs_handle_t handle)
{
    (void)handle;
    return ESP_OK;
}

/* ----- MAC, chance, time, restart ----- */

unsigned host_index(void) { return (unsigned)atoi(getenv("INDEX")); }

esp_err_t esp_read_mac(uint8_t *mac, esp_mac_type_t type)
{
    (void)type;
    const uint8_t station[6] = {0x02, 0, 0, 0, 0, (uint8_t)(2 * host_index() + 2)};
    memcpy(mac, station, 6);
    return ESP_OK;
}

uint32_t esp_random(void)
{
    uint32_t random = 0;
    must(getrandom(&random, sizeof random, 0) == sizeof random, "no chance");
    return random;
}

int64_t esp_timer_get_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

esp_reset_reason_t esp_reset_reason(void) { return getenv("RESTARTED") != NULL ? ESP_RST_SW : ESP_RST_POWERON; }

static char **arguments;

void esp_restart(void)
{
    setenv("RESTARTED", "1", 1);
    fflush(stdout);
    /* Sockets and the broker's connection close; flash is in the file. */
    for (int file = 3; file < 256; file++) close(file);
    execv("/proc/self/exe", arguments);
    abort();
}

/* ----- FreeRTOS ----- */

struct host_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    unsigned length, bytes, first, count;
    uint8_t *slots;
};

QueueHandle_t xQueueCreate(unsigned length, unsigned bytes)
{
    QueueHandle_t queue = calloc(1, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    queue->length = length;
    queue->bytes = bytes;
    queue->slots = calloc(length, bytes);
    return queue;
}

BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t wait)
{
    must(wait == 0, "a sender that waits is not made here");
    pthread_mutex_lock(&queue->lock);
    bool room = queue->count < queue->length;
    if (room) {
        unsigned at = (queue->first + queue->count++) % queue->length;
        memcpy(queue->slots + (size_t)at * queue->bytes, item, queue->bytes);
        pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->lock);
    return room ? pdTRUE : pdFALSE;
}

BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t wait)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += wait / 1000;
    end.tv_nsec += (long)(wait % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && wait > 0 && pthread_cond_timedwait(&queue->filled, &queue->lock, &end) == 0) {}
    bool got = queue->count > 0;
    if (got) {
        memcpy(item, queue->slots + (size_t)queue->first * queue->bytes, queue->bytes);
        queue->first = (queue->first + 1) % queue->length;
        queue->count--;
    }
    pthread_mutex_unlock(&queue->lock);
    return got ? pdTRUE : pdFALSE;
}

struct task { void (*run)(void *); void *argument; };

static void *run_task(void *given)
{
    struct task task = *(struct task *)given;
    free(given);
    task.run(task.argument);
    return NULL;
}

BaseType_t xTaskCreate(void (*run)(void *), const char *name, uint32_t stack, void *argument, unsigned priority, TaskHandle_t *handle)
{
    (void)name, (void)stack, (void)priority, (void)handle;
    struct task *task = malloc(sizeof *task);
    *task = (struct task){run, argument};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_task, task) != 0) return 0;
    pthread_detach(thread);
    return pdPASS;
}

void vTaskDelay(TickType_t ticks)
{
    usleep(ticks * 1000);
}

void app_main(void);

int main(int count, char **given)
{
    (void)count;
    arguments = given;
    power_on();
    app_main();
    for (;;) pause();
}
