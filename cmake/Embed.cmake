# Writes INPUT as bytes of a C++ array, so that no delimiter or literal length limit matters.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT}
"#include <string_view>
namespace attune::embedded {
static constexpr unsigned char bytes[] = {${bytes}0};
extern const std::string_view ${NAME};
const std::string_view ${NAME}(reinterpret_cast<const char*>(bytes), ${size});
}  // namespace attune::embedded
")
