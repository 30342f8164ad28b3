// The strict reader: where things stand, and what it refuses.
#include "config/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/temp_folder.h"

namespace attune {
namespace {

using testing::HasSubstr;

template <class Action>
std::string complaint(const Action& action) {
    try {
        action();
    } catch (const InputError& error) {
        return error.what();
    }
    return "accepted";
}

std::string parse_complaint(std::string_view text) {
    return complaint([&] { (void)parse_json(text, "f.json"); });
}

TEST(JsonReader, ValuesKnowWhereTheyStand) {
    const JsonValue root = parse_json(R"({"a": [1, {"b": "x"}]})", "f.json");
    const JsonValue item = root.object({"a"}).get("a").items()[1];
    EXPECT_EQ(item.where(), "f.json: key 'a': item 2");
    EXPECT_EQ(item.object({"b"}).get("b").where(), "f.json: key 'a': item 2: key 'b'");
    EXPECT_EQ(item.labelled("knob 'z'").object({"b"}).get("b").where(), "f.json: key 'a': knob 'z': key 'b'");
}

TEST(JsonReader, ValuesOutliveTheirRoot) {
    const JsonValue leaf = parse_json(R"(["kept"])", "f.json").items()[0];
    EXPECT_EQ(leaf.text(), "kept");
}

TEST(JsonReader, TypesAndRangesAreExact) {
    const auto items = parse_json(R"([1, -1, 1.0, true, "s", null, [], {}, 18446744073709551615])", "f.json").items();
    EXPECT_EQ(items[0].integer(), 1);
    EXPECT_EQ(items[1].integer(-1, 0), -1);
    EXPECT_EQ(items[0].number(), 1.0);
    EXPECT_EQ(items[8].uint64(), 18446744073709551615ULL);
    EXPECT_EQ(complaint([&] { (void)items[8].integer(); }),
              "f.json: item 9: must be an integer, got 18446744073709551615");
    EXPECT_EQ(complaint([&] { (void)items[1].integer(0); }), "f.json: item 2: must be an integer >= 0, got -1");
    EXPECT_EQ(complaint([&] { (void)items[0].integer(2, 3); }),
              "f.json: item 1: must be an integer from 2 to 3, got 1");
    EXPECT_EQ(complaint([&] { (void)items[2].integer(); }), "f.json: item 3: must be an integer, got 1.0");
    EXPECT_EQ(complaint([&] { (void)items[3].integer(); }), "f.json: item 4: must be an integer, got true");
    EXPECT_EQ(complaint([&] { (void)items[1].uint64(); }),
              "f.json: item 2: must be an integer from 0 to 2^64 - 1, got -1");
    EXPECT_EQ(complaint([&] { (void)items[4].number(); }), "f.json: item 5: must be a number, got \"s\"");
    EXPECT_EQ(complaint([&] { (void)items[0].number(0.0, 0.5); }),
              "f.json: item 1: must be a number from 0 to 0.5, got 1");
    EXPECT_EQ(complaint([&] { (void)items[5].text(); }), "f.json: item 6: must be a text, got null");
    EXPECT_EQ(complaint([&] { (void)items[0].boolean(); }), "f.json: item 1: must be true or false, got 1");
    EXPECT_EQ(complaint([&] { (void)items[7].items(); }), "f.json: item 8: must be a list, got {}");
    EXPECT_EQ(complaint([&] { (void)items[6].object({}); }), "f.json: item 7: must be an object, got []");
}

TEST(JsonReader, DefaultsApplyOnlyToAbsentKeys) {
    const JsonObject object = parse_json(R"({"n": null})", "f.json").object({"n", "m"});
    EXPECT_EQ(object.integer_or("m", 7, 0, 9), 7);
    EXPECT_EQ(object.text_or("m", "t"), "t");
    EXPECT_EQ(complaint([&] { (void)object.integer_or("n", 7, 0, 9); }),
              "f.json: key 'n': must be an integer from 0 to 9, got null");
}

TEST(JsonReader, UnknownNamesSuggestTheNearest) {
    const JsonValue root = parse_json(R"({"tile_n": 1})", "f.json");
    EXPECT_EQ(complaint([&] {
                  (void)root.object({"tile_m", "stages"});
              }),
              "f.json: unknown key 'tile_n'; did you mean 'tile_m'?");
    EXPECT_EQ(complaint([&] {
                  (void)root.object({"stages", "warps"});
              }),
              "f.json: unknown key 'tile_n'; known: stages, warps");
}

TEST(JsonReader, SyntaxErrorsHaveLineAndColumn) {
    EXPECT_THAT(parse_complaint("{\n  \"a\": 1,\n  \"b\" 2\n}"), HasSubstr("f.json: line 3, column 7: syntax error"));
    EXPECT_THAT(parse_complaint(""), HasSubstr("f.json: line 1, column 1: syntax error"));
    EXPECT_THAT(parse_complaint("[1] x"), HasSubstr("f.json: line 1, column 5: syntax error"));
    EXPECT_THAT(parse_complaint("[1e999]"), HasSubstr("f.json: line 1"));
    for (const std::string_view text : {"[\"\xff\"]", "[\"a\nb\"]", "nope", "[1,]", "{\"a\":}", "[NaN]"}) {
        const std::string message = parse_complaint(text);
        EXPECT_THAT(message, HasSubstr("f.json: line 1")) << text;
        EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }))
            << message;
    }
}

TEST(JsonReader, DuplicateKeysAreRefused) {
    EXPECT_EQ(parse_complaint(R"([{"a": 1}, {"a": 1, "b": [0, {"c": 1, "c": 2}]}])"),
              "f.json: item 2: key 'b': item 2: key 'c' appears twice; remove one");
    EXPECT_EQ(parse_complaint(R"({"a": {"x": 1}, "b": {"x": 1}})"), "accepted");
}

TEST(JsonReader, DepthAndSizeAreBounded) {
    EXPECT_EQ(parse_complaint(std::string(64, '[') + std::string(64, ']')), "accepted");
    EXPECT_EQ(parse_complaint(std::string(65, '[') + std::string(65, ']')), "f.json: nested deeper than 64 levels");
    EXPECT_EQ(parse_complaint(std::string(1000000, '[')), "f.json: nested deeper than 64 levels");
    EXPECT_THAT(parse_complaint(std::string(kMaxJsonBytes + 1, ' ')), HasSubstr("at most 16777216"));
}

TEST(JsonReader, LongAndHostileTextsStayOneShortLine) {
    const JsonValue root = parse_json("\"" + std::string(100000, 'x') + "\\n\\u001b\"", "f.json");
    EXPECT_LT(complaint([&] { (void)root.integer(); }).size(), 200U);
    const JsonValue keys = parse_json(R"({"a\nb\u001b[31m": 1})", "f.json");
    EXPECT_EQ(complaint([&] { (void)keys.object({"k"}); }), "f.json: unknown key 'a b [31m'; known: k");
}

TEST(JsonReader, FilesThatCannotBeReadAreNamed) {
    const TempFolder folder;
    const auto path = [&](const char* name) { return (folder.path() / name).string(); };
    EXPECT_EQ(complaint([&] { (void)read_json_file(path("none.json")); }), path("none.json") + ": no such file");
    EXPECT_THAT(complaint([&] { (void)read_json_file(folder.path()); }), HasSubstr("is a directory"));
    EXPECT_EQ(read_json_file(folder.write("ok.json", "[true]")).items()[0].boolean(), true);
    EXPECT_EQ(complaint([&] { (void)read_text_file(folder.write("big.txt", "12345"), 4); }),
              path("big.txt") + ": larger than 4 bytes");
}

}  // namespace
}  // namespace attune
