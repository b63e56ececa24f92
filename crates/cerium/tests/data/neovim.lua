-- Drives Neovim as a person would: types, sees a suggestion, accepts it, has a note carried out, takes that back.
-- Says what it saw as JSON in the file that CERIUM_SAW names.

local saw = {}
local cerium = require('cerium')
cerium.setup({ cmd = vim.fn.json_decode(vim.env.CERIUM_CMD), automatic = false })

local function line(number)
  return vim.api.nvim_buf_get_lines(0, number - 1, number, false)[1]
end

local function all()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

local function wait(what, is_so)
  if not vim.wait(120000, is_so, 20) then
    error('waited in vain for ' .. what)
  end
end

local function drive()
  vim.cmd('edit shapes.py')
  cerium.attach(0)
  vim.api.nvim_win_set_cursor(0, { 7, 11 })
  vim.cmd('startinsert!')
  wait('the server', function()
    local _, client = next(vim.lsp.buf_get_clients(0))
    return client and client.initialized
  end)
  cerium.suggest()
  wait('a suggestion', cerium.suggestion)
  saw.suggestion = cerium.suggestion()
  local space = vim.api.nvim_get_namespaces().cerium
  local marks = vim.api.nvim_buf_get_extmarks(0, space, 0, -1, { details = true })
  saw.ghost = marks[1][4].virt_text[1][1]
  saw.before_accepting = line(7)
  saw.accepted = cerium.accept()
  saw.after_accepting = line(7)
  saw.cursor = vim.api.nvim_win_get_cursor(0)

  -- A key that takes the place away: what was asked before is never shown.
  cerium.suggest()
  vim.api.nvim_buf_set_text(0, 6, 0, 6, 0, { '#' })
  vim.wait(3000, cerium.suggestion, 20)
  saw.stale = cerium.suggestion() or vim.NIL
  vim.api.nvim_buf_set_text(0, 6, 0, 6, 1, { '' })

  -- The editor's own action on a note. What was typed so far is a step of undo of its own, as after any key.
  vim.cmd('let &undolevels = &undolevels')
  local before = all()
  local _, client = next(vim.lsp.buf_get_clients(0))
  vim.api.nvim_win_set_cursor(0, { vim.api.nvim_buf_line_count(0), 0 })
  local params = vim.lsp.util.make_range_params(0, client.offset_encoding)
  params.context = { diagnostics = {} }
  local offered = client.request_sync('textDocument/codeAction', params, 60000, 0)
  local action = offered.result[1]
  saw.action = action.title
  local done = false
  client.request('workspace/executeCommand', action.command, function(error, result)
    saw.error = error and error.message
    saw.applied = result and result.applied
    done = true
  end, 0)
  wait('the edit', function() return done end)
  saw.edited = all()
  vim.cmd('stopinsert')
  vim.cmd('undo')
  saw.undone = all() == before
end

local ok, why = pcall(drive)
saw.failed = not ok and tostring(why) or nil
vim.fn.writefile({ vim.fn.json_encode(saw) }, vim.env.CERIUM_SAW)
vim.cmd('qall!')
