#include "export/flatten.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/shell.h"

namespace attune {
namespace {

/// What the compiler makes of `main` before and after flattening, as the program's output.
std::string output_of(const std::vector<SourceFile>& bundle, const std::string& name) {
    const TempFolder folder;
    for (const SourceFile& file : bundle)
        folder.write(file.name, file.text);
    const std::string path = folder.path().string();
    const Ran ran = shell(fmt::format("cd {} && c++ -I. {} -o program && ./program", path, name));
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.out;
}

TEST(Flatten, GivesTheProgramTheCompilerSaw) {
    const std::vector<SourceFile> bundle{
        {"kernel.cpp",
         "#include <cstdio>\n#ifdef NOBODY\n#include \"parts/b.h\"\n#endif\n"
         "/* a comment\n#include \"broken.h\"\n*/\n"
         "const char* text = R\"x(\n#include \"broken.h\"\n)x\";\n"
         "#  include \"parts/a.h\" // twice\n#include \"parts/a.h\"\n#include \"parts/b.h\"\n"
         "#define VALUE 7\n#include \"again.inc\"\n#undef VALUE\n#define VALUE 8\n#include \"again.inc\"\n"
         "int main() { std::printf(\"%s%d%d%d\\n\", text, a(), b(), 1'000); }\n"},
        {"parts/a.h", "#pragma once\n#include \"b.h\"\ninline int a() { return b() + 1; }\n"},
        {"parts/b.h", "#pragma once\ninline int b() { return 41; }\n"},
        {"again.inc", "inline int again(char (*)[VALUE]) { return VALUE; }\n"},
        {"broken.h", "#error must not be read\n"}};
    const std::string flat = flatten(bundle, "kernel.cpp");
    EXPECT_EQ(output_of({{"flat.cpp", flat}}, "flat.cpp"), output_of(bundle, "kernel.cpp"));
    EXPECT_THAT(flat, testing::Not(testing::HasSubstr("include \"parts")));
}

TEST(Flatten, KeepsAnIncludeThatTheBundleLacks) {
    EXPECT_EQ(flatten({{"k.cu", "#include \"elsewhere.h\"\n"}}, "k.cu"), "#include \"elsewhere.h\"\n");
}

TEST(Flatten, EndsOnFilesThatIncludeEachOther) {
    EXPECT_THROW(static_cast<void>(flatten({{"k.cu", "#include \"k.cu\"\n"}}, "k.cu")), InputError);
    EXPECT_THROW(static_cast<void>(flatten({{"k.cu", ""}}, "other.cu")), InputError);
    const std::vector<SourceFile> cycle{{"k.cu", "#include \"a.h\"\n"},
                                        {"a.h", "#pragma once\n#include \"b.h\"\nint a;\n"},
                                        {"b.h", "#pragma once\n#include \"a.h\"\nint b;\n"}};
    EXPECT_THAT(flatten(cycle, "k.cu"), testing::HasSubstr("int b;"));
}

}  // namespace
}  // namespace attune
