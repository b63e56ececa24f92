# The source package of ik-llama-cpp-python 0.1.5 leaves out the script that writes its build details:
# this writes one that states none. Included by cmake right after `project()`.
set(source "${CMAKE_CURRENT_SOURCE_DIR}/vendor/ik_llama.cpp/common")
if(EXISTS "${source}/build-info.cpp.in" AND NOT EXISTS "${source}/cmake/build-info-gen-cpp.cmake")
    file(WRITE "${source}/cmake/build-info-gen-cpp.cmake" "
set(BUILD_NUMBER 0)
set(BUILD_COMMIT package)
set(BUILD_COMPILER unknown)
set(BUILD_TARGET unknown)
configure_file(\"${source}/build-info.cpp.in\" \"${source}/build-info.cpp\")
")
endif()
