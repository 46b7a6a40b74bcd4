/* chat.c: see chat.h. */
#include "chat.h"

#include <string.h>

static const char *const thinking_names[] = {[ENG_THINKING_NONE] = "none", [ENG_THINKING_OPTIONAL] = "optional", [ENG_THINKING_ALWAYS] = "always"};

static eng_status add_stop(eng_chat *chat, const json_t *value, const char *name, eng_error *error)
{
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id >= UINT32_MAX) return eng_fail(error, ENG_BAD_FILE, "%s: \"eos_token_id\" is not a token's number", name);
    for (size_t i = 0; i < chat->n_stop_ids; i++)
        if (chat->stop_ids[i] == (uint32_t)id) return ENG_OK;
    if (chat->n_stop_ids == ENG_STOP_IDS_MAX)
        return eng_fail(error, ENG_BAD_FILE, "%s: more than %d tokens in \"eos_token_id\"", name, ENG_STOP_IDS_MAX);
    chat->stop_ids[chat->n_stop_ids++] = (uint32_t)id;
    return ENG_OK;
}

static eng_status read_fraction(const json_t *object, const char *key, double most, float *ret_value, const char *name, eng_error *error)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value)) return ENG_OK;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number <= most))
        return eng_fail(error, ENG_BAD_FILE, "%s: \"%s\" is not a number from 0 to %g", name, key, most);
    *ret_value = (float)number;
    return ENG_OK;
}

eng_status eng_chat_read(eng_chat *chat, const json_t *object, const char *name, eng_error *error)
{
    const json_t *stop = json_object_get(object, "eos_token_id"), *thinking = json_object_get(object, "thinking");
    eng_status status = ENG_OK;
    size_t n = json_is_array(stop) ? json_array_size(stop) : 0;
    for (size_t i = 0; i < n && status == ENG_OK; i++) status = add_stop(chat, json_array_get(stop, i), name, error);
    if (stop != NULL && !json_is_null(stop) && !json_is_array(stop)) status = add_stop(chat, stop, name, error);
    if (status == ENG_OK) status = read_fraction(object, "temperature", 100, &chat->temperature, name, error);
    if (status == ENG_OK) status = read_fraction(object, "top_p", 1, &chat->top_p, name, error);
    for (size_t i = 0; status == ENG_OK && json_is_string(thinking) && i < sizeof thinking_names / sizeof *thinking_names; i++) {
        if (strcmp(json_string_value(thinking), thinking_names[i]) != 0) continue;
        chat->thinking = (eng_thinking)i;
        chat->knows_thinking = true;
    }
    return status;
}

static bool holds(const char *text, size_t n_bytes, const char *words)
{
    return memmem(text, n_bytes, words, strlen(words)) != NULL;
}

void eng_chat_read_template(eng_chat *chat, const char *text, size_t n_bytes)
{
    chat->knows_thinking = true;
    if (holds(text, n_bytes, "enable_thinking"))
        chat->thinking = ENG_THINKING_OPTIONAL;
    else if (holds(text, n_bytes, "assistant\\n<think>") || holds(text, n_bytes, "assistant\n<think>"))
        chat->thinking = ENG_THINKING_ALWAYS;
    else
        chat->thinking = ENG_THINKING_NONE;
}

json_t *eng_chat_to_json(const eng_chat *chat)
{
    json_t *object = json_object(), *stop = json_array();
    bool good = object != NULL && stop != NULL;
    for (size_t i = 0; i < chat->n_stop_ids && good; i++) good = json_array_append_new(stop, json_integer(chat->stop_ids[i])) == 0;
    good = good && json_object_set(object, "eos_token_id", stop) == 0;
    if (chat->knows_thinking) good = good && json_object_set_new(object, "thinking", json_string(thinking_names[chat->thinking])) == 0;
    if (chat->temperature > 0) good = good && json_object_set_new(object, "temperature", json_real((double)chat->temperature)) == 0;
    if (chat->top_p > 0) good = good && json_object_set_new(object, "top_p", json_real((double)chat->top_p)) == 0;
    json_decref(stop);
    if (good) return object;
    json_decref(object);
    return NULL;
}
