# Read by the CMake project of llama-cpp-python (CMAKE_PROJECT_llama_cpp_INCLUDE, see the Makefile). It changes what is
# built and how the sources are grouped, not how code is generated: compiler flags and GGML_* options stay as they are.

# llama.cpp's helpers for its own programs: a quarter of the build, and not part of the wheel.
set(LLAMA_BUILD_COMMON OFF)

# libmtmd has a small source file for each vision model, with the same large headers: compiled 16 at a time, as llama.cpp
# itself does for the text models. The other files of libmtmd do not allow it.
set(_mtmd ${CMAKE_SOURCE_DIR}/vendor/llama.cpp/tools/mtmd)
cmake_language(DEFER CALL set_target_properties mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
cmake_language(
    DEFER CALL set_source_files_properties
    ${_mtmd}/mtmd.cpp ${_mtmd}/mtmd-audio.cpp ${_mtmd}/mtmd-image.cpp ${_mtmd}/mtmd-helper.cpp
    ${_mtmd}/mtmd-helper-gen.cpp ${_mtmd}/clip.cpp
    TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON
)

# One header takes half a second of each of the forty files that include it.
cmake_language(
    DEFER CALL target_precompile_headers llama PRIVATE ${CMAKE_SOURCE_DIR}/vendor/llama.cpp/src/llama-model.h
)
